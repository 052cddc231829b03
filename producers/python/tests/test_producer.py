"""The producer's promises, with a Kafka that is away or the mock that librdkafka carries."""

import logging
import os
import subprocess
import sys
import textwrap
import time

import pytest

from bt_events import EventProducer

AWAY = "127.0.0.1:1"
MOCK = {"test.mock.num.brokers": 1}


@pytest.fixture
def make():
    made = []

    def producer(**arguments):
        arguments = {"service": "order", "instance": "a", "bootstrap": AWAY, **arguments}
        made.append(EventProducer(**arguments))
        return made[-1]

    yield producer
    for one in made:
        one.close(0)


class Hostile:
    def __str__(self):
        raise RuntimeError("no text for you")


def test_nothing_raises_and_every_drop_is_counted(make):
    producer = make()
    loop = {}
    loop["self"] = loop
    refused = [
        producer.send_metric("with space"),
        producer.send_metric("a", "many"),
        producer.send_metric("a", labels={"a": Hostile()}),
        producer.send_log("info", Hostile()),
        producer.send_log("info", "x", fields=loop),
        producer.send_log("info", "x", value=object()),
        producer.send_event("order.created", payload=3),
        producer.send_event("order.created", topic="no such/topic"),
        producer.send_event("order.created", {"a": float("nan")}),
        producer.send_health("fine"),
    ]
    assert refused == [False] * 10
    assert producer.stats().dropped == {"invalid": 7, "unserialisable": 3}
    assert producer.stats().sent == 0


def test_a_full_queue_drops_and_does_not_block(make):
    producer = make(queue_messages=100)
    started = time.monotonic()
    taken = sum(producer.send_log("info", f"line {n}") for n in range(5000))
    assert time.monotonic() - started < 5
    stats = producer.stats()
    assert taken == 100 == stats.sent == stats.queued
    assert stats.dropped == {"queue_full": 4900}
    assert producer.flush(0.1) is False


def test_an_event_above_the_limit_is_dropped(make):
    producer = make(max_message_bytes=1000)
    assert producer.send_log("info", "x" * 2000) is False
    assert producer.stats().dropped == {"msg_size_too_large": 1}


def test_drops_are_reported_once_and_not_for_each_event(make, caplog):
    producer = make(queue_messages=1)
    with caplog.at_level(logging.WARNING, logger="bt_events"):
        for _ in range(1000):
            producer.send_metric("not valid")
        producer.close(0)
    lines = [r.getMessage() for r in caplog.records if r.name == "bt_events" and "invalid" in r.getMessage()]
    assert 1 <= len(lines) <= 2
    assert "(1000 in all)" in lines[-1]
    assert "not valid" in lines[-1]


def test_a_broker_that_is_away_is_not_reported_at_every_attempt(make, caplog):
    producer = make(config={"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 10})
    producer.send_log("info", "x")
    time.sleep(1.5)
    producer.close(0)
    assert sum("Connection refused" in r.getMessage() for r in caplog.records) <= 2


def test_wrong_settings_drop_with_a_reason(make, caplog):
    producer = make(config={"no.such.setting": 1})
    assert producer.send_log("info", "x") is False
    assert producer.stats().dropped == {"misconfigured": 1}
    assert "no.such.setting" in caplog.text


def test_undelivered_events_are_counted_when_given_up(make):
    producer = make(delivery_timeout=1.0, config={"socket.timeout.ms": 500})
    assert producer.send_log("info", "x") is True
    deadline = time.monotonic() + 15
    while producer.stats().queued and time.monotonic() < deadline:
        time.sleep(0.05)
    assert producer.stats().dropped == {"timed_out": 1}


def test_a_closed_producer_drops(make):
    producer = make()
    producer.send_log("info", "x")
    assert producer.close(0) is False
    assert producer.send_log("info", "y") is False
    assert producer.stats().dropped == {"purge_queue": 1, "closed": 1}


def test_delivery_is_counted(make):
    producer = make(config=MOCK)
    for n in range(500):
        assert producer.send_metric("orders_total", n)
    assert producer.flush(10) is True
    stats = producer.stats()
    assert (stats.sent, stats.delivered, stats.queued, stats.dropped) == (500, 500, 0, {})


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SERVICE_NAME", "order")
    monkeypatch.setenv("BT_INSTANCE", "pod-1")
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "kafka:1234")
    producer = EventProducer()
    assert (producer.service, producer.instance) == ("order", "pod-1")
    assert producer._config["bootstrap.servers"] == "kafka:1234"
    monkeypatch.setenv("BT_SERVICE", "customer")
    assert EventProducer().service == "customer"
    assert EventProducer("driver", "").instance == ""


def run(code, **env):
    """Run `code` in an interpreter of its own; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": "src", **env},
        cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_exit_is_bounded_and_reports_what_is_left():
    started = time.monotonic()
    output = run(
        """
        import logging; logging.basicConfig()
        from bt_events import EventProducer
        producer = EventProducer("order", "a", "127.0.0.1:1", exit_timeout=1)
        producer.send_log("info", "never arrives")
        """
    )
    assert time.monotonic() - started < 20
    assert "dropped 1 event(s): purge_queue" in output


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_sends_with_a_client_of_its_own():
    output = run(
        """
        import os
        from bt_events import EventProducer
        producer = EventProducer("order", "a", config={"test.mock.num.brokers": 1})
        producer.send_log("info", "parent"); assert producer.flush(10)
        child = os.fork()
        if child == 0:
            producer.send_log("info", "child")
            print("child flushed", producer.flush(10), producer.stats().delivered, flush=True)
            raise SystemExit(0)
        assert os.waitpid(child, 0)[1] == 0
        producer.send_log("info", "parent")
        print("parent flushed", producer.flush(10), producer.stats().delivered)
        """
    )
    assert "child flushed True 1" in output
    assert "parent flushed True 2" in output
