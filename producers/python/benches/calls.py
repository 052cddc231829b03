"""How long a call takes: with the queue full, and with a broker that takes everything.

    python benches/calls.py [CALLS]

The broker is the mock that librdkafka carries, in this process. With it the calls come in bursts of 50, 40 a second, so
that the queue stays short and deliveries are counted between them. Times in µs. Compare: a no-op is the clock's cost,
`logging` alone is what a log call costs with a handler that does nothing.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Any, Callable

from bt_events import BtHandler, EventProducer
from bt_events.asgi import BtMiddleware

Call = Callable[[], object]


def calls(producer: EventProducer) -> dict[str, Call]:
    """What is measured."""
    logger = logging.getLogger("bench")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.handlers[:] = [BtHandler(producer=producer)]
    alone = logging.getLogger("bench.alone")
    alone.propagate = False
    alone.handlers[:] = [logging.NullHandler()]
    labels = {"channel": "web"}
    return {
        "no-op": lambda: None,
        "send_metric": lambda: producer.send_metric("orders_total", labels=labels),
        "send_log": lambda: producer.send_log("info", "order accepted", order_id=42),
        "send_event": lambda: producer.send_event("order.created", {"order_id": 42, "amount": 12.5}),
        "send_health": lambda: producer.send_health("up", {"database": "up"}, 3.5),
        "logging alone": lambda: alone.info("order %d accepted", 42),
        "logging": lambda: logger.info("order %d accepted", 42),
    }


def measure(call: Call, count: int, pause: float = 0) -> list[int]:
    """Nanoseconds of each of `count` calls, sorted; after every 50 of them `pause` seconds."""
    clock = time.perf_counter_ns
    times = []
    for n in range(count):
        started = clock()
        call()
        times.append(clock() - started)
        if pause and n % 50 == 49:
            time.sleep(pause)
    return sorted(times)


def requests(producer: EventProducer | None, count: int) -> list[int]:
    """Nanoseconds of each request to an application that only answers, with the middleware if there is a producer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def nothing(message: Any = None) -> Any:
        return None

    wrapped = BtMiddleware(app, producer, route=lambda scope: "/orders/{id}") if producer else app

    async def all_of_them() -> list[int]:
        times = []
        for _ in range(count):
            started = time.perf_counter_ns()
            await wrapped({"type": "http", "method": "GET", "path": "/orders/1"}, nothing, nothing)
            times.append(time.perf_counter_ns() - started)
        return sorted(times)

    return asyncio.run(all_of_them())


def row(name: str, times: list[int]) -> None:
    """One line of the table."""
    shares = "".join(f"{times[int(len(times) * share)] / 1000:10.2f}" for share in (0.5, 0.9, 0.99, 0.999))
    print(f"{name:28}{shares}{times[-1] / 1000:10.1f}")


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(f"{'µs':28}{'p50':>10}{'p90':>10}{'p99':>10}{'p99.9':>10}{'max':>10}")
    full = EventProducer("bench", "a", "127.0.0.1:1", queue_messages=1000, exit_timeout=0)
    while full.send_log("info", "fills the queue"):
        pass
    for name, call in calls(full).items():
        row(f"queue full: {name}", measure(call, count))
    row("queue full: a request", requests(full, count))
    full.close(0)
    with EventProducer("bench", "a", config={"test.mock.num.brokers": 1}) as taken:
        taken.send_log("info", "connects")
        taken.flush(10)
        for name, call in calls(taken).items():
            row(f"taken: {name}", measure(call, min(count, 4000), pause=0.025))
        row("taken: a request", requests(taken, min(count, 4000)))
    row("a request, not measured", requests(None, count))


if __name__ == "__main__":
    main()
