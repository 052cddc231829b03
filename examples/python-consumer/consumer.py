"""A consumer of your own, for a TelemetryConsumer with a `custom` sink: writes each record to standard output, as JSON.

Reads in batches, commits a batch's offsets when its work is done, and on SIGTERM finishes the record at hand, commits
and leaves the group. So every record is handled at least once, and exactly once where pods are stopped in order.

Beside what the operator sets (KAFKA_…), the environment may have
  BATCH         records of a batch (100)
  WORK_MS       how long the work on a record takes, to see lag and scaling (0)
  METRICS_PORT  port of /metrics (9100)
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from prometheus_client import Counter, Histogram, start_http_server

RECORDS = Counter("consumer_records", "Records that were handled.", ["topic"])
REJECTED = Counter("consumer_rejected", "Records that are no JSON, and were left out.", ["topic"])
BATCHES = Histogram("consumer_batch_seconds", "Time for the work on a batch and its commit.")

stopping = threading.Event()


def log(text: str) -> None:
    """For people; standard output is the data's."""
    print(text, file=sys.stderr, flush=True)


def settings(env: Mapping[str, str]) -> dict[str, object]:
    """librdkafka's configuration from the environment that the operator sets."""
    config: dict[str, object] = {
        "bootstrap.servers": env["KAFKA_BOOTSTRAP"],
        "group.id": env["KAFKA_GROUP_ID"],
        "auto.offset.reset": env.get("KAFKA_AUTO_OFFSET_RESET", "earliest"),
        "security.protocol": env.get("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT"),
        # Only what is done is committed.
        "enable.auto.commit": False,
        # A pod that comes or goes interrupts only the partitions that move.
        "partition.assignment.strategy": "cooperative-sticky",
        "client.id": env.get("HOSTNAME", "python-consumer"),
    }
    for variable, key in {
        "KAFKA_SSL_CA_FILE": "ssl.ca.location",
        "KAFKA_SSL_CERTIFICATE_FILE": "ssl.certificate.location",
        "KAFKA_SSL_KEY_FILE": "ssl.key.location",
        "KAFKA_SASL_MECHANISM": "sasl.mechanism",
        "KAFKA_SASL_USERNAME": "sasl.username",
    }.items():
        if env.get(variable):
            config[key] = env[variable]
    if env.get("KAFKA_SASL_PASSWORD_FILE"):
        # Read at start: the operator rolls the pods when the Secret changes.
        with open(env["KAFKA_SASL_PASSWORD_FILE"], encoding="utf-8") as file:
            config["sasl.password"] = file.read().rstrip("\r\n")
    return config


def starter(latest: bool):
    """Commits where a partition starts that the group has no offset for: from then on lag can be measured, and `Latest`
    means the time of the first start, even when the pods are scaled to zero before a record comes."""

    def start(consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            known = consumer.committed(partitions, timeout=10)
            fresh = []
            for partition in (p for p in known if p.offset < 0 and not p.error):
                low, high = consumer.get_watermark_offsets(partition, timeout=10)
                fresh.append(TopicPartition(partition.topic, partition.partition, high if latest else low))
            if fresh:
                consumer.commit(offsets=fresh, asynchronous=False)
                offsets = {(p.topic, p.partition): p.offset for p in fresh}
                for partition in partitions:
                    partition.offset = offsets.get((partition.topic, partition.partition), partition.offset)
        except KafkaException as error:
            log(f"the start is not committed, it will be with the first records: {error}")
        log("assigned: " + ", ".join(f"{p.topic}/{p.partition}" for p in partitions))
        consumer.incremental_assign(partitions)

    return start


def work(message: Message, seconds: float) -> None:
    """Your own work takes this one's place. It may raise: the process ends, nothing of the batch from here on is
    committed, and the pod that starts again gets it once more."""
    try:
        value = json.loads(message.value() or b"null")
    except ValueError:
        # Would fail again for ever. Keep such a record somewhere if you need it: nobody else does.
        REJECTED.labels(message.topic()).inc()
        return
    if seconds:
        stopping.wait(seconds)
    place = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
    print(json.dumps({**place, "value": value}))
    RECORDS.labels(message.topic()).inc()


def handle(consumer: Consumer, batch: list[Message], seconds: float) -> None:
    """Does the work on a batch and commits it, or what was done of it when the pod has to stop."""
    done: dict[tuple[str, int], int] = {}
    with BATCHES.time():
        try:
            for message in batch:
                if stopping.is_set():
                    break
                work(message, seconds)
                done[message.topic(), message.partition()] = message.offset() + 1
        finally:
            sys.stdout.flush()
            commit(consumer, [TopicPartition(topic, partition, offset) for (topic, partition), offset in done.items()])


def commit(consumer: Consumer, offsets: list[TopicPartition]) -> None:
    """Commits and waits for the answer: nobody else gets these partitions before this consumer asks for more."""
    if not offsets:
        return
    try:
        consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        # Kafka is away, or the work took longer than max.poll.interval.ms and another pod has the partitions. The next
        # commit covers this one, or the other pod does the work again.
        log(f"not committed: {error}")


def good(batch: list[Message]) -> list[Message]:
    """The batch's records, without what Kafka says in between."""
    records = []
    for message in batch:
        error = message.error()
        if error is None:
            records.append(message)
        elif error.fatal():
            raise KafkaException(error)
        else:
            log(f"Kafka: {error}")
    return records


def main() -> None:
    """Runs until SIGTERM or SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    size, seconds = int(os.environ.get("BATCH", "100")), int(os.environ.get("WORK_MS", "0")) / 1000
    start_http_server(int(os.environ.get("METRICS_PORT", "9100")))

    def told(error: KafkaError) -> None:
        log(f"Kafka: {error}")

    config = settings(os.environ)
    consumer = Consumer({**config, "error_cb": told})
    topics = os.environ["KAFKA_TOPICS"].split(",")
    consumer.subscribe(topics, on_assign=starter(config["auto.offset.reset"] == "latest"))
    log(f"{config['group.id']} reads {', '.join(topics)}")
    try:
        while not stopping.is_set():
            batch = good(consumer.consume(size, timeout=0.5))
            if batch:
                handle(consumer, batch, seconds)
            # Without records: a topic that is not there yet is said at once, again and again.
            elif not stopping.is_set():
                time.sleep(0.05)
    finally:
        # Leaves the group, so that others take the partitions over at once.
        consumer.close()
        log("stopped")


if __name__ == "__main__":
    main()
