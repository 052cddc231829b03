"""Against a real broker: what was sent is read back from Kafka."""

import contextlib
import itertools
import json
import os
import signal
import time
import uuid

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from conftest import run
from proxy import Proxy
from test_conformance import CASES, arguments, check

from bt_events import EventProducer

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP")
pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not BOOTSTRAP, reason="KAFKA_BOOTSTRAP is not set"),
]


@pytest.fixture
def topic():
    """A topic with three partitions, for this test alone."""
    with a_topic(3) as name:
        yield name


@contextlib.contextmanager
def a_topic(partitions):
    """A topic that is there for a while."""
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    name = f"test.{uuid.uuid4().hex}.events"
    admin.create_topics([NewTopic(name, num_partitions=partitions)])[name].result(30)
    yield name
    admin.delete_topics([name])[name].result(30)


def read(topic, count, partitions=3):
    """All records of `topic`, `count` of them expected, as (partition, key, decoded value)."""
    records = [(partition, key, json.loads(value)) for partition, key, value in raw(topic, partitions)]
    assert len(records) == count
    return records


def raw(topic, partitions):
    """All records of `topic`, as (partition, key, value)."""
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": topic, "enable.partition.eof": False})
    records = []
    try:
        those = [TopicPartition(topic, p, 0) for p in range(partitions)]
        end = sum(consumer.get_watermark_offsets(p, timeout=30)[1] for p in those)
        consumer.assign(those)
        while len(records) < end:
            batch = consumer.consume(min(1000, end - len(records)), timeout=30)
            assert batch, f"{len(records)} of {end} records read"
            for message in batch:
                assert message.error() is None
                records.append((message.partition(), message.key(), message.value()))
    finally:
        consumer.close()
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


def test_the_conformance_cases_as_they_are_in_kafka():
    sent = [case for case in CASES if "event" in case["expect"]]
    sent.sort(key=lambda case: (case["service"], case["instance"] or ""))  # one producer for each
    with a_topic(1) as topic:
        topics = dict.fromkeys(("metrics_topic", "logs_topic", "health_topic"), topic)
        for (service, instance), cases in itertools.groupby(sent, lambda case: (case["service"], case["instance"])):
            with EventProducer(service, instance or "", BOOTSTRAP, **topics) as producer:
                for case in cases:
                    own = {"topic": topic} if case["call"] == "send_event" else {}
                    assert getattr(producer, case["call"])(**{**arguments(case), **own})
        records = raw(topic, 1)
    assert len(records) == len(sent)
    for case, (_, key, value) in zip(sent, records):
        check(case, key, value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_prefork_parent_and_children_deliver_all_each_once(topic):
    output = run(
        """
        import os, sys
        from bt_events import EventProducer
        bootstrap, topic = os.environ["WHERE"].split()
        producer = EventProducer("order", "", bootstrap, logs_topic=topic, linger_ms=500)
        for n in range(200): assert producer.send_log("info", "parent", n=n)  # wait at the fork
        children = []
        for child in range(3):
            pid = os.fork()
            if pid == 0:
                for n in range(200): assert producer.send_log("info", f"child {child}", n=n)
                sys.exit(0)  # flushes
            children.append(pid)
        for n in range(200, 400): assert producer.send_log("info", "parent", n=n)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
        """,
        WHERE=f"{BOOTSTRAP} {topic}",
    )
    assert output == ""
    lines = sorted((value["message"], value["fields"]["n"]) for _, _, value in read(topic, 1000))
    children = [(f"child {child}", n) for child in range(3) for n in range(200)]
    assert lines == children + [("parent", n) for n in range(400)]


def test_sigterm_delivers_what_is_queued(topic):
    run(
        """
        import os, signal, time
        from bt_events import EventProducer
        bootstrap, topic = os.environ["WHERE"].split()
        producer = EventProducer("order", "", bootstrap, logs_topic=topic, linger_ms=5000)
        for n in range(500): assert producer.send_log("info", "x", n=n)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
        """,
        expect=-signal.SIGTERM,
        WHERE=f"{BOOTSTRAP} {topic}",
    )
    assert sorted(value["fields"]["n"] for _, _, value in read(topic, 500)) == list(range(500))


def test_uvicorn_that_gets_sigterm_delivers_the_last_words(topic):
    """It dies by the signal, after the application has shut down; nothing of Python's exit runs."""
    run(
        """
        import contextlib, os, signal, threading, time
        import uvicorn
        from starlette.applications import Starlette
        from bt_events import EventProducer
        from bt_events.asgi import BtMiddleware
        bootstrap, topic = os.environ["WHERE"].split()

        def application():  # called by uvicorn when its own handler of SIGTERM stands
            producer = EventProducer("order", "", bootstrap, logs_topic=topic, linger_ms=5000)

            @contextlib.asynccontextmanager
            async def lifespan(app):
                producer.send_log("info", "first words")
                threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
                yield
                producer.send_log("info", "last words")

            app = Starlette(lifespan=lifespan)
            app.add_middleware(BtMiddleware, producer=producer)
            return app

        uvicorn.run(application, factory=True, port=0, log_level="error")
        """,
        expect=-signal.SIGTERM,
        WHERE=f"{BOOTSTRAP} {topic}",
    )
    assert sorted(value["message"] for _, _, value in read(topic, 2)) == ["first words", "last words"]


def test_a_broker_that_is_away_is_not_noticed_and_what_fits_arrives_later_once(topic):
    """20 s without the broker, 200 events a second, and room for 2,500."""
    metadata = AdminClient({"bootstrap.servers": BOOTSTRAP}).list_topics(timeout=30)
    [broker] = metadata.brokers.values()
    proxy = Proxy((broker.host, broker.port))
    queue, slowest, taken = 2500, 0.0, []
    producer = EventProducer(
        "order",
        "a",
        f"{broker.host}:{proxy.port}",
        logs_topic=topic,
        metrics_topic=topic,
        queue_messages=queue,
    )
    with contextlib.closing(proxy), producer:
        started = time.monotonic()
        cut = restored = False
        n = 0
        while (passed := time.monotonic() - started) < 25:
            if not cut and passed > 3:
                cut = True
                proxy.cut()
            if not restored and passed > 23:
                restored = True
                proxy.restore()
            for _ in range(20):
                before = time.perf_counter()
                if producer.send_log("info", "x", n=n):
                    taken.append(n)
                slowest = max(slowest, time.perf_counter() - before)
                n += 1
            time.sleep(0.1)
        assert producer.flush(60)
        stats = producer.stats()
    assert proxy.refused > 0, "the client never tried to connect while the broker was away"
    assert slowest < 1  # on a busy machine; a wait for the broker would be 5 s at least
    assert (stats.sent, stats.delivered, stats.queued) == (len(taken), len(taken), 0)
    assert stats.dropped == {"queue_full": n - len(taken)}
    assert n - len(taken) > 500 and len(taken) > queue
    values = [value for _, _, value in read(topic, len(taken) + 1)]
    assert sorted(value["fields"]["n"] for value in values if "fields" in value) == taken
    [drops] = [value for value in values if "fields" not in value]
    assert (drops["name"], drops["value"]) == ("bt_sdk_events_dropped_total", n - len(taken))
