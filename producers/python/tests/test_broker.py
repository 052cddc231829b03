"""Against a real broker: what was sent is read back from Kafka."""

import json
import os
import uuid

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bt_events import EventProducer

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP")
pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not BOOTSTRAP, reason="KAFKA_BOOTSTRAP is not set"),
]


@pytest.fixture
def topic():
    """A topic with three partitions, for this test alone."""
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    name = f"test.{uuid.uuid4().hex}.events"
    admin.create_topics([NewTopic(name, num_partitions=3)])[name].result(30)
    yield name
    admin.delete_topics([name])[name].result(30)


def read(topic, count):
    """All records of `topic`, `count` of them expected, as (partition, key, decoded value)."""
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": topic, "enable.partition.eof": False})
    records = []
    try:
        partitions = [TopicPartition(topic, p) for p in range(3)]
        ends = [consumer.get_watermark_offsets(p, timeout=30)[1] for p in partitions]
        consumer.assign([TopicPartition(topic, p, 0) for p in range(3)])
        while len(records) < sum(ends):
            batch = consumer.consume(min(1000, sum(ends) - len(records)), timeout=30)
            assert batch, f"{len(records)} of {sum(ends)} records read"
            for message in batch:
                assert message.error() is None
                records.append((message.partition(), message.key(), json.loads(message.value())))
    finally:
        consumer.close()
    assert len(records) == count
    return records


def test_the_four_calls_arrive_as_json_under_the_producers_key(topic):
    with EventProducer("order", "pod-1", BOOTSTRAP, metrics_topic=topic, logs_topic=topic, health_topic=topic) as p:
        assert p.send_metric("orders_total", 2, labels={"channel": "web"}, trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
        assert p.send_log("error", "größer", error=ValueError("no"), order_id=42)
        assert p.send_health("degraded", {"db": "down"}, 1.5)
        assert p.send_event("order.created", {"order_id": 42}, topic=topic)
        assert p.flush(30)
        assert (p.stats().delivered, p.stats().dropped) == (4, {})
    records = read(topic, 4)
    assert {key for _, key, _ in records} == {b"order/pod-1"}
    assert len({partition for partition, _, _ in records}) == 1
    metric, log, health, event = (value for _, _, value in records)  # one partition: in order
    assert (metric["name"], metric["value"], metric["labels"]) == ("orders_total", 2, {"channel": "web"})
    assert metric["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (log["message"], log["error"]["type"], log["fields"]) == ("größer", "ValueError", {"order_id": 42})
    assert (health["status"], health["checks"], health["latency_ms"]) == ("degraded", {"db": "down"}, 1.5)
    assert (event["type"], event["payload"]) == ("order.created", {"order_id": 42})
    for _, _, value in records:
        assert (value["service"], value["instance"]) == ("order", "pod-1")
        assert uuid.UUID(value["id"]) and value["ts"].endswith("Z")


def test_business_events_go_to_the_services_own_topic(topic):
    service = topic[: -len(".events")]
    with EventProducer(service, "", BOOTSTRAP) as producer:
        producer.send_event("order.created", {"n": 1})
        assert producer.flush(30)
    [(_, key, value)] = read(topic, 1)
    assert key == service.encode()
    assert "instance" not in value


def test_many_events_arrive_once_each_and_keep_their_order(topic):
    instances = [f"pod-{n}" for n in range(12)]
    with EventProducer("order", "", BOOTSTRAP, logs_topic=topic) as producer:
        for n in range(12_000):
            assert producer.send_log("info", "line", n=n, instance=instances[n % 12])
        assert producer.flush(60)
        assert producer.stats().delivered == 12_000
    records = read(topic, 12_000)
    assert len({value["id"] for _, _, value in records}) == 12_000
    for instance in instances:
        own = [(p, value["fields"]["n"]) for p, _, value in records if value["instance"] == instance]
        assert len({partition for partition, _ in own}) == 1
        assert [n for _, n in own] == sorted(n for _, n in own)
    assert len({partition for partition, _, _ in records}) == 3


def test_a_topic_that_does_not_exist_is_reported_as_such():
    settings = {"topic.metadata.propagation.max.ms": 1000}
    with EventProducer("order", "a", BOOTSTRAP, config=settings) as producer:
        assert producer.send_event("x", topic=f"missing.{uuid.uuid4().hex}")
        producer.flush(30)
        assert producer.stats().dropped == {"unknown_topic_or_part": 1}
