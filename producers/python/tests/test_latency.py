"""What a call costs when the queue is full."""

import time

import pytest

from bt_events import EventProducer

P99 = 20_000
"""Nanoseconds; the bound that the SDK promises."""
ATTEMPTS = 10
CALLS = 5_000


def p99(call):
    """Nanoseconds that 99 of 100 calls do not exceed."""
    clock = time.perf_counter_ns
    times = []
    for _ in range(CALLS):
        started = clock()
        call()
        times.append(clock() - started)
    return sorted(times)[CALLS * 99 // 100]


@pytest.mark.parametrize(
    "call",
    [
        lambda producer: producer.send_metric("orders_total", labels={"channel": "web"}),
        lambda producer: producer.send_log("info", "order accepted", order_id=42),
        lambda producer: producer.send_event("order.created", {"order_id": 42}),
        lambda producer: producer.send_health("up", {"database": "up"}, 3.5),
    ],
    ids=["metric", "log", "event", "health"],
)
def test_a_call_with_the_queue_full(call):
    """The best of ten attempts counts: what other processes take from this one is not the SDK's.

    It is a real client with a Kafka that is away, so librdkafka's threads are at work meanwhile.
    """
    with EventProducer("orders", "a", "127.0.0.1:1", queue_messages=1000, exit_timeout=0) as producer:
        while call(producer):
            pass
        best = min(iter_until(lambda: p99(lambda: call(producer)), P99))
        producer.close(0)
    assert best <= P99, f"p99 of a call is {best / 1000:.1f} µs"


def iter_until(measure, enough):
    """Measurements, until one is good enough."""
    for _ in range(ATTEMPTS):
        found = measure()
        yield found
        if found <= enough:
            return
