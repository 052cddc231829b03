"""The events as they go over the wire: JSON objects, checked before they are queued.

Pure functions. Each raises `InvalidEvent` when the arguments cannot make an event that the consumers would
accept, so that the mistake is reported by the service that made it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import re
import sys
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Union

Event = dict[str, Any]
ErrorLike = Union[BaseException, Mapping[str, Any]]

# https://prometheus.io/docs/concepts/data_model/
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_RESERVED_LABELS = frozenset({"service", "instance", "source", "le"})
# Kafka's own rule (org.apache.kafka.common.internals.Topic).
_TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}\Z")

_LARGEST = sys.float_info.max
_KINDS = frozenset({"counter", "gauge", "histogram"})
_STATUSES = frozenset({"up", "degraded", "down"})


class InvalidEvent(ValueError):
    """The arguments do not make a valid event; the message says what to change."""


class Source:
    """What the events of one producer have in common: `service`, `instance` and the record's key, ready to be sent."""

    __slots__ = ("head", "key")

    def __init__(self, service: str, instance: str | None) -> None:
        if not isinstance(service, str) or not service:
            raise InvalidEvent("service must be a string that is not empty")
        instance = str(instance) if instance else None
        names = {"service": service} if instance is None else {"service": service, "instance": instance}
        self.head = "," + encode(names)[1:-1] + ","
        # Everything of one producer goes to one partition, in order.
        self.key = (service if instance is None else f"{service}/{instance}").encode("utf-8", "replace")


def record(source: Source, fields: Event, at: float | None = None) -> bytes:
    """The event as JSON in UTF-8: `ts` (of `at`, seconds since 1970, or now), a new `id`, the source, `fields`.

    Raises `TypeError` or `ValueError` for what JSON cannot carry (NaN, cycles, objects).
    """
    text = (
        f'{{"ts":"{_timestamp(time.time() if at is None else at)}","id":"{_new_id()}"{source.head}{encode(fields)[1:]}'
    )
    # A lone surrogate (from surrogateescape) has no UTF-8 form and would make the whole record unreadable.
    return text.encode("utf-8", "replace")


_last_second = (0, "1970-01-01T00:00:00")


def _timestamp(at: float) -> str:
    """RFC 3339, UTC, milliseconds. Much cheaper than `datetime`: only the first event of a second is formatted."""
    global _last_second
    second = int(at)
    known, text = _last_second
    if second != known:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _last_second = (second, text)
    return f"{text}.{int((at - second) * 1000):03d}Z"


def _new_id() -> str:
    """A random UUID (version 4). `uuid.uuid4` costs five times as much, most of it for an object that is not needed."""
    raw = os.urandom(16)
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[raw[8] & 3]}{digits[17:20]}-{digits[20:]}"


def metric(
    name: str,
    value: float = 1,
    kind: str = "counter",
    labels: Mapping[str, object] | None = None,
    help: str | None = None,
    unit: str | None = None,
    op: str | None = None,
    buckets: Sequence[float] | None = None,
    trace_id: str | None = None,
) -> Event:
    """The fields of a metric event."""
    if not isinstance(name, str) or not _METRIC_NAME.match(name):
        raise InvalidEvent(f"metric name {name!r}: use letters, digits, '_' and ':', not starting with a digit")
    if kind not in _KINDS:
        raise InvalidEvent(f"metric {name}: kind {kind!r} is none of counter, gauge, histogram")
    number = value if _is_plain_number(value) else _number(value, f"metric {name}")
    if kind == "counter" and number < 0:
        raise InvalidEvent(f"metric {name}: a counter's value is an increment and cannot be {number}")
    event: Event = {"name": name, "kind": kind, "value": number}
    if op is not None:
        if kind != "gauge" or op not in ("set", "add"):
            raise InvalidEvent(f"metric {name}: op {op!r}: a gauge takes 'add' or 'set', other kinds take none")
        if op == "add":
            event["op"] = op
    if buckets is not None:
        if kind != "histogram":
            raise InvalidEvent(f"metric {name}: only a histogram has buckets")
        bounds = [_number(bound, f"metric {name}: buckets") for bound in buckets]
        if not bounds or any(a >= b for a, b in zip(bounds, bounds[1:])):
            raise InvalidEvent(f"metric {name}: buckets must be upper bounds in increasing order")
        event["buckets"] = bounds
    if labels:
        event["labels"] = _labels(name, labels)
    if help:
        event["help"] = str(help)
    if unit:
        event["unit"] = str(unit)
    if trace_id:
        event["trace_id"] = str(trace_id)
    return event


def log(
    level: str | int,
    message: object,
    logger: str | None = None,
    trace_id: str | None = None,
    span_id: str | None = None,
    error: ErrorLike | None = None,
    fields: Mapping[str, Any] | None = None,
) -> Event:
    """The fields of a log event. `level` may be a number of Python's `logging`."""
    if isinstance(level, int):
        level = logging.getLevelName(level)
    if not isinstance(level, str) or not level:
        raise InvalidEvent(f"log level {level!r}: use a name such as 'info'")
    event: Event = {"level": level, "message": str(message)}
    for key, text in (("logger", logger), ("trace_id", trace_id), ("span_id", span_id)):
        if text:
            event[key] = str(text)
    if error is not None:
        event["error"] = error_info(error)
    if fields:
        if not isinstance(fields, Mapping):
            raise InvalidEvent(f"log fields must be a mapping, not {type(fields).__name__}")
        event["fields"] = {str(key): value for key, value in fields.items()}
    return event


def business_event(type: str, payload: Mapping[str, Any] | None = None) -> Event:
    """The fields of a business event, such as `order.created`."""
    if not isinstance(type, str) or not type:
        raise InvalidEvent(f"event type {type!r}: use a name such as 'order.created'")
    if payload is not None and not isinstance(payload, Mapping):
        raise InvalidEvent(f"event {type}: the payload must be a mapping, not {payload.__class__.__name__}")
    return {"type": type, "payload": dict(payload or {})}


def health(status: str, checks: Mapping[str, str] | None = None, latency_ms: float | None = None) -> Event:
    """The fields of a health event."""
    if status not in _STATUSES:
        raise InvalidEvent(f"health status {status!r} is none of up, degraded, down")
    event: Event = {"status": status}
    if checks:
        wrong = [name for name, value in checks.items() if value not in _STATUSES]
        if wrong:
            raise InvalidEvent(f"health check {wrong[0]!r}: {checks[wrong[0]]!r} is none of up, degraded, down")
        event["checks"] = {str(name): value for name, value in checks.items()}
    if latency_ms is not None:
        event["latency_ms"] = _number(latency_ms, "health latency_ms")
    return event


def topic(name: str) -> str:
    """`name`, when Kafka takes it as the name of a topic."""
    if not _TOPIC_NAME.match(name) or name in (".", ".."):
        raise InvalidEvent(f"topic {name!r}: Kafka takes up to 249 letters, digits, '.', '_' and '-'")
    return name


def _plain(value: object) -> object:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, Decimal, PurePath)):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode
"""JSON text of a value. Raises `TypeError` or `ValueError` for what JSON cannot carry (NaN, cycles, objects)."""


def _is_plain_number(value: object) -> bool:
    return (type(value) is float or type(value) is int) and -_LARGEST <= value <= _LARGEST


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or value is None:
        raise InvalidEvent(f"{what}: {value!r} is not a number")
    try:
        number = value if isinstance(value, int) else float(value)  # type: ignore[arg-type]
        if math.isfinite(number):
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidEvent(f"{what}: {value!r} is not a finite number")


def _labels(name: str, labels: Mapping[str, object]) -> dict[str, str]:
    if not isinstance(labels, Mapping):
        raise InvalidEvent(f"metric {name}: labels must be a mapping, not {type(labels).__name__}")
    checked = {}
    for label, value in labels.items():
        if not isinstance(label, str) or not _LABEL_NAME.match(label) or label.startswith("__"):
            raise InvalidEvent(f"metric {name}: label {label!r}: use letters, digits and '_'")
        if label in _RESERVED_LABELS:
            raise InvalidEvent(f"metric {name}: label {label!r} is set by the pipeline itself; choose another name")
        if value is not None:
            checked[label] = str(value).lower() if isinstance(value, bool) else str(value)
    return checked


def error_info(error: ErrorLike) -> dict[str, str]:
    """An exception, or a mapping with some of these, as `type`, `message` and `stack_trace`."""
    if isinstance(error, BaseException):
        cls = error.__class__
        name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
        trace = "".join(traceback.format_exception(cls, error, error.__traceback__))
        return {"type": name, "message": str(error), "stack_trace": trace}
    if isinstance(error, Mapping):
        known = ("type", "message", "stack_trace")
        return {key: str(error[key]) for key in known if error.get(key) is not None}
    raise InvalidEvent(f"error must be an exception or a mapping, not {type(error).__name__}")
