"""What this project's metrics consumer replaces, for comparison: confluent-kafka, json, prometheus_client, with care.

Records come in batches; the child of a family for its labels is looked up once and kept, which is what costs most in
prometheus_client. Reads so many events of a topic and tells, as JSON, a line when half of them are done and one at the
end: events, seconds since the first one, CPU seconds of the process so far.

Usage: metrics_consumer.py BOOTSTRAP TOPIC GROUP EVENTS
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

KINDS = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}
BATCH = 1000


class Series:
    """The families by name, and for each series what takes its values."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.families: dict[str, Counter | Gauge | Histogram] = {}
        self.update: dict[tuple[object, ...], Callable[[float], None]] = {}

    def take(self, event: dict) -> None:
        """Applies an event."""
        key = (event["name"], event["service"], event.get("instance"), event.get("op"), *event["labels"].items())
        update = self.update.get(key)
        if update is None:
            update = self.update[key] = self.new(event)
        update(event["value"])

    def new(self, event: dict) -> Callable[[float], None]:
        """The method that applies values to a series that was not seen yet."""
        labels = {"service": event["service"], "instance": event.get("instance", ""), **event["labels"]}
        family = self.families.get(event["name"])
        if family is None:
            family = KINDS[event["kind"]](event["name"], event["name"], list(labels), registry=self.registry)
            self.families[event["name"]] = family
        child = family.labels(**labels)
        if event["kind"] == "histogram":
            return child.observe
        if event["kind"] == "gauge" and event.get("op") != "add":
            return child.set
        return child.inc


def tell(events: int, since: float) -> None:
    """One line for whoever measures."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    said = {"events": events, "seconds": time.monotonic() - since, "cpu": usage.ru_utime + usage.ru_stime}
    print(json.dumps(said), flush=True)


def main() -> None:
    """Reads until it has as many events as it was told."""
    bootstrap, topic, group, wanted = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    registry = CollectorRegistry()
    start_http_server(0, addr="127.0.0.1", registry=registry)
    series = Series(registry)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    done, half, since = 0, wanted // 2, 0.0
    while done < wanted:
        batch = consumer.consume(min(BATCH, wanted - done), timeout=0.5)
        if batch and not done:
            since = time.monotonic()
        for message in batch:
            if message.error():
                raise KafkaException(message.error())
            series.take(json.loads(message.value()))
        before, done = done, done + len(batch)
        if before < half <= done:
            tell(done, since)
    tell(done, since)
    consumer.close()


if __name__ == "__main__":
    main()
