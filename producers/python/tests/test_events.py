"""The wire format, without Kafka."""

import json
import logging
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum

import pytest

from bt_events import InvalidEvent, events


def test_a_record_has_a_time_in_utc_and_an_id_of_its_own():
    source = events.Source("order", "a")
    first, second = (json.loads(events.record(source, {"level": "info"})) for _ in range(2))
    assert datetime.fromisoformat(first["ts"].replace("Z", "+00:00")).tzinfo is timezone.utc
    assert abs(datetime.now(timezone.utc).timestamp() - _epoch(first["ts"])) < 5
    assert str(uuid.UUID(first["id"])) == first["id"]
    assert (uuid.UUID(first["id"]).version, uuid.UUID(first["id"]).variant) == (4, uuid.RFC_4122)
    assert first["id"] != second["id"]
    assert (first["service"], first["instance"], first["level"]) == ("order", "a", "info")
    assert "instance" not in json.loads(events.record(events.Source("order", ""), {"level": "info"}))


@pytest.mark.parametrize("at", [0, 0.9999, 1767323045.0, 1767323045.678901, 1767323045.9999999, 4102444800.5])
def test_times_are_written_as_datetime_writes_them(at):
    written = datetime.fromtimestamp(at, timezone.utc).replace(tzinfo=None)
    for _ in range(2):  # formatted, then remembered
        ts = json.loads(events.record(events.Source("a", None), {"b": 1}, at))["ts"]
        assert abs(_epoch(ts) - written.replace(tzinfo=timezone.utc).timestamp()) < 0.001
        assert ts == datetime.fromtimestamp(_epoch(ts), timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def test_key_is_service_and_instance():
    assert events.Source("order", "pod-1").key == b"order/pod-1"
    assert events.Source("order", None).key == b"order"
    for wrong in ("", None, 1):
        with pytest.raises(InvalidEvent):
            events.Source(wrong, "a")


def test_metric_kinds():
    assert events.metric("a_total") == {"name": "a_total", "kind": "counter", "value": 1}
    assert events.metric("g", -2.5, "gauge", op="add")["op"] == "add"
    assert "op" not in events.metric("g", 1, "gauge", op="set")
    histogram = events.metric("h", 0.2, "histogram", buckets=(0.1, 1), unit="seconds", help="Time.")
    assert histogram["buckets"] == [0.1, 1]
    assert (histogram["unit"], histogram["help"]) == ("seconds", "Time.")


def test_a_metric_names_the_trace_it_was_measured_in():
    trace = uuid.UUID("4bf92f35-77b3-4da6-a3ce-929d0e0e4736")
    assert events.metric("a_total", trace_id=trace.hex)["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert "trace_id" not in events.metric("a_total", trace_id="")


def test_label_values_become_strings():
    labels = events.metric("a", labels={"code": 200, "ok": True, "none": None})["labels"]
    assert labels == {"code": "200", "ok": "true"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "with space"},
        {"name": ""},
        {"name": "1a"},
        {"name": "a\n"},
        {"name": None},
        {"name": "a", "value": -1},
        {"name": "a", "value": float("nan")},
        {"name": "a", "value": float("inf"), "kind": "gauge"},
        {"name": "a", "value": 10**400},
        {"name": "a", "value": "many"},
        {"name": "a", "value": True},
        {"name": "a", "value": None},
        {"name": "a", "kind": "summary"},
        {"name": "a", "op": "add"},
        {"name": "a", "kind": "gauge", "op": "inc"},
        {"name": "a", "buckets": [1]},
        {"name": "a", "kind": "histogram", "buckets": [1, 1]},
        {"name": "a", "kind": "histogram", "buckets": []},
        {"name": "a", "labels": {"service": "x"}},
        {"name": "a", "labels": {"__x": "x"}},
        {"name": "a", "labels": {"a-b": "x"}},
        {"name": "a", "labels": ["x"]},
    ],
)
def test_what_is_no_metric_is_refused(arguments):
    with pytest.raises(InvalidEvent):
        events.metric(**arguments)


def test_log_of_an_exception_has_its_trace():
    try:
        {}["missing"]
    except KeyError as error:
        event = events.log("error", "failed", error=error, logger="app", trace_id="t", span_id="s")
    assert event["error"]["type"] == "KeyError"
    assert event["error"]["message"] == "'missing'"
    assert "test_log_of_an_exception" in event["error"]["stack_trace"]
    assert (event["logger"], event["trace_id"], event["span_id"]) == ("app", "t", "s")


def test_log_takes_levels_of_logging_and_errors_as_mappings():
    event = events.log(logging.WARNING, 12, error={"type": "E", "message": None, "other": 1}, fields={"a": 1})
    assert event == {"level": "WARNING", "message": "12", "error": {"type": "E"}, "fields": {"a": 1}}


def test_health_and_business_event():
    assert events.health("degraded", {"db": "down"}, 3) == {
        "status": "degraded",
        "checks": {"db": "down"},
        "latency_ms": 3,
    }
    assert events.business_event("order.created", {"id": 1}) == {"type": "order.created", "payload": {"id": 1}}
    assert events.business_event("order.created")["payload"] == {}
    for wrong in (lambda: events.health("fine"), lambda: events.health("up", {"db": "fine"})):
        with pytest.raises(InvalidEvent):
            wrong()
    for arguments in (("",), ("a", [1]), (None,)):
        with pytest.raises(InvalidEvent):
            events.business_event(*arguments)


def test_topic_names_follow_kafkas_rule():
    assert events.topic("order.events") == "order.events"
    for wrong in ("", "a b", "a/b", ".", "..", "x" * 250):
        with pytest.raises(InvalidEvent):
            events.topic(wrong)


def test_encoding_takes_what_services_log():
    class Colour(Enum):
        RED = "red"

    @dataclass
    class Order:
        number: int

    value = {
        "time": datetime(2026, 1, 2, tzinfo=timezone.utc),
        "id": uuid.UUID(int=1),
        "price": Decimal("1.50"),
        "colour": Colour.RED,
        "order": Order(7),
        "tags": {"one"},
        "text": "größer\u2028\x00",
    }
    decoded = json.loads(events.encode(value))
    assert decoded["time"] == "2026-01-02T00:00:00+00:00"
    assert decoded["id"] == "00000000-0000-0000-0000-000000000001"
    assert (decoded["price"], decoded["colour"], decoded["order"]) == ("1.50", "red", {"number": 7})
    assert (decoded["tags"], decoded["text"]) == (["one"], "größer\u2028\x00")


def test_a_lone_surrogate_does_not_spoil_the_record():
    record = json.loads(events.record(events.Source("a\udcff", "b"), {"message": "a\udcffb"}))
    assert (record["service"], record["message"]) == ("a?", "a?b")


@pytest.mark.parametrize("value", [object(), float("nan"), {1: object()}])
def test_what_json_cannot_carry_is_an_error(value):
    with pytest.raises((TypeError, ValueError)):
        events.encode({"fields": value})


def _epoch(ts):
    return datetime.fromisoformat(ts.replace("Z", "+00:00")).timestamp()
