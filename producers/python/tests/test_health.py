"""Health checks on a timer."""

import asyncio
import threading
import time

import pytest
from conftest import until

from bt_events import Health, start_health


def down():
    raise ConnectionError("refused")


@pytest.mark.parametrize(
    ("checks", "critical", "status", "results"),
    [
        ({}, (), "up", None),
        ({"a": lambda: True, "b": lambda: None, "c": lambda: "up"}, (), "up", {"a": "up", "b": "up", "c": "up"}),
        ({"a": lambda: True, "b": lambda: False}, (), "degraded", {"a": "up", "b": "down"}),
        ({"a": lambda: True, "b": lambda: "degraded"}, (), "degraded", {"a": "up", "b": "degraded"}),
        ({"a": lambda: "degraded"}, ("a",), "degraded", {"a": "degraded"}),
        ({"a": lambda: True, "b": down}, ("a",), "degraded", {"a": "up", "b": "down"}),
        ({"a": lambda: True, "b": down}, ("b",), "down", {"a": "up", "b": "down"}),
        ({"a": lambda: "down", "b": down}, (), "down", {"a": "down", "b": "down"}),
        ({"a": lambda: "fine", "b": lambda: 1}, (), "down", {"a": "down", "b": "down"}),
    ],
)
def test_the_status_follows_from_the_checks(sent, checks, critical, status, results):
    made = sent()
    health = Health(checks, critical=critical, producer=made.producer)
    assert health.run() == (status, results or {})
    [event] = made.events("health.events")
    assert (event["status"], event.get("checks")) == (status, results)
    assert 0 <= event["latency_ms"] < 5000


def test_a_check_that_exits_is_down(sent):
    made = sent()

    def exits():
        raise SystemExit(1)

    assert Health({"a": exits}, producer=made.producer).run() == ("down", {"a": "down"})


def test_async_checks(sent):
    made = sent()

    async def fine():
        await asyncio.sleep(0)
        return True

    async def hangs():
        await asyncio.sleep(60)

    health = Health({"fine": fine, "hangs": hangs}, timeout=0.2, producer=made.producer)
    assert health.run() == ("degraded", {"fine": "up", "hangs": "down"})
    assert until(lambda: not [t for t in threading.enumerate() if t.name == "bt-health-hangs"])  # it was cancelled


def test_a_check_that_hangs_is_down_and_threads_do_not_pile_up(sent):
    made = sent()
    go_on, calls = threading.Event(), []

    def hangs():
        calls.append(1)
        go_on.wait(30)
        return True

    health = Health({"hangs": hangs, "fine": lambda: True}, timeout=0.05, producer=made.producer)
    for _ in range(5):
        started = time.monotonic()
        assert health.run() == ("degraded", {"hangs": "down", "fine": "up"})
        assert time.monotonic() - started < 2
    assert len(calls) == 1
    assert len([t for t in threading.enumerate() if t.name == "bt-health-hangs"]) == 1
    go_on.set()
    assert until(lambda: not [t for t in threading.enumerate() if t.name == "bt-health-hangs"])
    assert health.run()[0] == "up"


def test_checks_run_side_by_side(sent):
    made = sent()
    together = threading.Barrier(3, timeout=10)
    checks = {name: (lambda: together.wait() >= 0) for name in "abc"}
    assert Health(checks, timeout=20, producer=made.producer).run()[0] == "up"


def test_on_a_timer_until_it_is_stopped(sent):
    made = sent()
    health = start_health({"database": lambda: True}, interval=0.05, producer=made.producer)
    assert until(lambda: len(made.events("health.events")) >= 3)
    health.stop()
    time.sleep(0.1)
    count = len(made.events("health.events"))
    time.sleep(0.2)
    assert len(made.events("health.events")) == count
    assert {event["status"] for event in made.events()} == {"up"}  # no last "down"
    health.start()
    health.start()
    assert until(lambda: len(made.events("health.events")) > count)
    health.stop()
    assert until(lambda: not [t for t in threading.enumerate() if t.name == "bt-health"])


def test_the_reason_is_logged_when_it_changes(sent, caplog):
    made = sent()
    health = Health({"database": down}, producer=made.producer)
    for _ in range(3):
        health.run()
    assert [r.getMessage() for r in caplog.records] == ["health check database is down: ConnectionError: refused"]


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="'cache'"):
        start_health({"database": down}, critical=["cache"])
    with pytest.raises(ValueError, match="interval"):
        start_health({}, interval=0)
