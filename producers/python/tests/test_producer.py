"""The producer's promises, with a Kafka that is away or the mock that librdkafka carries."""

import logging
import threading
import time

import pytest
from conftest import until

from bt_events import EventProducer
from bt_events.stats import Counter

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


def test_what_was_given_up_or_taken_makes_room_again(make):
    """The bound in bytes is kept by the lengths that delivery reports have."""
    away = make(queue_kbytes=10, delivery_timeout=1.0)
    taken = [sum(away.send_log("info", "x" * 1000) for _ in range(20))]
    assert until(lambda: not away.stats().queued, 15)
    taken.append(sum(away.send_log("info", "x" * 1000) for _ in range(20)))
    there = make(queue_kbytes=10, config=MOCK)
    for _ in range(2):
        taken.append(sum(there.send_log("info", "x" * 1000) for _ in range(20)))
        assert there.flush(10)
    assert taken == [8, 8, 8, 8]


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


def test_the_queue_is_bounded_by_bytes_too(sent):
    made = sent(queue_messages=1000, queue_kbytes=10)
    made.client.up = False
    taken = sum(made.producer.send_log("info", "x" * 1000) for _ in range(100))
    assert taken == 8  # records of some 1.15 kB
    assert made.producer.stats().dropped == {"queue_full": 92}
    assert made.producer.send_log("info", "small") is False  # the queue is full until something leaves it
    made.client.up = True
    made.producer.flush(1)
    assert made.producer.send_log("info", "small")
    assert made.producer.stats().queued == 1


def test_an_event_larger_than_the_bound_passes_an_empty_queue(sent):
    made = sent(queue_kbytes=1)
    assert made.producer.send_log("info", "x" * 2000)
    assert len(made.events()) == 1


def test_drops_are_told_by_a_metric_when_kafka_takes_events_again(sent):
    made = sent(queue_messages=2)
    made.client.up = False
    for n in range(10):
        made.producer.send_log("info", "x", n=n)
    time.sleep(0.1)
    assert not [record for record in made.client.waiting if record[0] == "metrics.events"]
    made.client.up = True
    assert until(lambda: made.events("metrics.events"))
    [metric] = made.events("metrics.events")
    assert (metric["name"], metric["kind"], metric["value"]) == ("bt_sdk_events_dropped_total", "counter", 8)
    assert metric["labels"] == {"reason": "queue_full"}
    assert (metric["service"], metric["instance"]) == ("orders", "orders-1")
    made.producer.send_metric("not valid")
    made.producer.close()  # within the interval, but there will be no other time
    [_, last] = made.events("metrics.events")
    assert (last["value"], last["labels"]) == (1, {"reason": "invalid"})
    stats = made.producer.stats()
    assert (stats.sent, stats.delivered, stats.dropped) == (2, 2, {"queue_full": 8, "invalid": 1})


def test_a_report_that_kafka_did_not_take_is_made_again():
    counter = Counter(10, 1000)
    counter.dropped("invalid", "x")
    assert counter.take_untold() == {"invalid": 1}
    counter.dropped("invalid", "x")
    assert counter.take_untold(last=False) == {}  # one at a time
    counter.told("invalid", 1, False)
    assert counter.take_untold() == {}  # not so soon again
    assert counter.take_untold(last=True) == {"invalid": 2}


def test_threads_keep_the_bound_and_the_counts(sent):
    made = sent(queue_messages=500)
    made.client.up = False

    def send():
        for _ in range(400):
            made.producer.send_log("info", "x")

    threads = [threading.Thread(target=send) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = made.producer.stats()
    assert (stats.sent, stats.queued, stats.dropped) == (500, 500, {"queue_full": 1500})
    assert len(made.client.waiting) == 500
    made.client.up = True
    assert made.producer.flush(1)
    assert made.producer.stats().delivered == 500
