"""A service that publishes through the SDK: `burst RUN METRICS LOGS`, or `steady RUN RATE` until standard input ends.

Prints what it has sent as JSON, each second and at the end.
"""

import json
import sys
import threading
import time

from bt_events import EventProducer

mode, run, *numbers = sys.argv[1:]
producer = EventProducer("e2e", run, queue_messages=1_000_000)
logs = increments = 0


def show():
    stats = producer.stats()
    dropped = sum(stats.dropped.values())
    sent = {"sent": stats.sent, "delivered": stats.delivered, "dropped": dropped}
    print(json.dumps({"logs": logs, "increments": increments, **sent}), flush=True)


def log():
    global logs
    error = None
    if logs % 100 == 99:
        error = {"type": "TimeoutError", "message": "too late", "stack_trace": "at line 1"}
    level = "error" if error else "info"
    ids = {"trace_id": f"{logs:032x}", "span_id": f"{logs:016x}"}
    logs += producer.send_log(level, f"line {logs}", "e2e.http", error=error, number=logs, colour="grün", **ids)


if mode == "burst":
    metrics, lines = map(int, numbers)
    for n in range(max(metrics, lines)):
        if n < metrics:
            increments += (n % 3 + 1) * producer.send_metric("e2e_total", n % 3 + 1, labels={"run": run, "lane": n % 7})
        if n < lines:
            log()
    producer.send_health("degraded", {"database": "up", "cache": "down"}, 1.5)
else:
    rate = int(numbers[0])
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    started = shown = time.monotonic()
    while not ended.wait(0.02):
        now = time.monotonic()
        while logs < (now - started) * rate:
            log()
        if now - shown >= 1:
            shown = now
            show()
if not producer.flush(120):
    print("Kafka did not take everything within 120 s", producer.stats(), file=sys.stderr)
show()
