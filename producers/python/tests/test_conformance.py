"""The cases that every SDK has to pass, on records exactly as they go to Kafka."""

import json
import re
import uuid
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "conformance" / "cases.json"
CASES = json.loads(FILE.read_text(encoding="utf-8"))["cases"]
TS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def arguments(case):
    """The case's arguments, with the numbers that JSON cannot carry."""

    def number(value):
        return NUMBERS.get(value, value) if isinstance(value, str) else value

    found = dict(case["args"])
    for name in ("value", "latency_ms"):
        if name in found:
            found[name] = number(found[name])
    if "buckets" in found:
        found["buckets"] = [number(bound) for bound in found["buckets"]]
    return found


def check(case, key, value):
    """Whether a record's key and value are what the case says."""
    assert key.decode() == case["expect"]["key"]
    event = json.loads(value)
    assert TS.fullmatch(event.pop("ts"))
    assert str(uuid.UUID(event["id"])) == event.pop("id")
    assert typed(event) == typed(case["expect"]["event"])


def typed(value):
    """In Python True equals 1; in JSON it does not."""
    if isinstance(value, dict):
        return {key: typed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [typed(one) for one in value]
    return ("bool", value) if isinstance(value, bool) else value


def test_no_two_cases_have_the_same_name():
    assert len({case["name"] for case in CASES}) == len(CASES) > 90


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_case(case, sent):
    made = sent(service=case["service"], instance=case["instance"] or "")
    queued = getattr(made.producer, case["call"])(**arguments(case))
    stats = made.producer.stats()
    if "dropped" in case["expect"]:
        assert (queued, stats.sent, stats.dropped) == (False, 0, {case["expect"]["dropped"]: 1})
        return
    assert (queued, stats.sent, stats.dropped) == (True, 1, {})
    [(topic, key, value)] = made.records
    assert topic == case["expect"]["topic"]
    check(case, key, value)
