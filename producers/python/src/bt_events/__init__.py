"""Publish metrics, logs, health checks and business events to Kafka, without waiting for them.

    from bt_events import send_metric, send_log, send_event, send_health

    send_metric("orders_total", labels={"channel": "web"})
    send_log("info", "order accepted", order_id=42)
    send_event("order.created", {"order_id": 42})
    send_health("up", checks={"database": "up"})

These use one producer with settings from the environment (BT_SERVICE, BT_INSTANCE, KAFKA_BOOTSTRAP, …);
`EventProducer` takes them as arguments. What a service does anyway is sent without further calls:
`install_logging()` (its log), `bt_events.asgi.BtMiddleware` (its requests), `start_health(…)` (its health).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .default import default_producer
from .events import ErrorLike, InvalidEvent
from .health import Health, start_health
from .lifecycle import flush_on_sigterm
from .logging import BtHandler, install_logging
from .producer import EventProducer
from .stats import Stats

__all__ = [
    "BtHandler",
    "EventProducer",
    "Health",
    "InvalidEvent",
    "Stats",
    "default_producer",
    "flush",
    "flush_on_sigterm",
    "install_logging",
    "send_event",
    "send_health",
    "send_log",
    "send_metric",
    "start_health",
    "stats",
]
__version__ = "0.1.0"


def send_metric(
    name: str,
    value: float = 1,
    kind: str = "counter",
    labels: Mapping[str, object] | None = None,
    help: str | None = None,
    unit: str | None = None,
    op: str | None = None,
    buckets: Sequence[float] | None = None,
    service: str | None = None,
    instance: str | None = None,
    trace_id: str | None = None,
) -> bool:
    """Publish a metric; see `EventProducer.send_metric`."""
    return default_producer().send_metric(
        name, value, kind, labels, help, unit, op, buckets, service, instance, trace_id
    )


def send_log(
    level: str | int,
    message: object,
    logger: str | None = None,
    trace_id: str | None = None,
    span_id: str | None = None,
    error: ErrorLike | None = None,
    fields: Mapping[str, Any] | None = None,
    service: str | None = None,
    instance: str | None = None,
    **more: Any,
) -> bool:
    """Publish a log line; see `EventProducer.send_log`."""
    return default_producer().send_log(
        level, message, logger, trace_id, span_id, error, fields, service, instance, **more
    )


def send_event(
    type: str,
    payload: Mapping[str, Any] | None = None,
    topic: str | None = None,
    service: str | None = None,
    instance: str | None = None,
) -> bool:
    """Publish a business event; see `EventProducer.send_event`."""
    return default_producer().send_event(type, payload, topic, service, instance)


def send_health(
    status: str,
    checks: Mapping[str, str] | None = None,
    latency_ms: float | None = None,
    service: str | None = None,
    instance: str | None = None,
) -> bool:
    """Publish the service's health; see `EventProducer.send_health`."""
    return default_producer().send_health(status, checks, latency_ms, service, instance)


def flush(timeout: float = 10) -> bool:
    """Wait until Kafka has everything that was sent; see `EventProducer.flush`."""
    return default_producer().flush(timeout)


def stats() -> Stats:
    """How many events were sent, delivered and dropped."""
    return default_producer().stats()
