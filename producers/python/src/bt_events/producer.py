"""`EventProducer`: the queue between a service and Kafka."""

from __future__ import annotations

import ctypes
import functools
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Callable

from confluent_kafka import KafkaError, KafkaException, Producer

from . import context, events, lifecycle
from .stats import Counter, Quiet, Stats

_log = logging.getLogger("bt_events")
_kafka_log = logging.getLogger("bt_events.kafka")
_kafka_log.addFilter(Quiet())

INFO_INTERVAL = 300.0
"""Seconds between two `bt_service_info`, so that the series does not age out."""

# Room in librdkafka's queue beyond the service's own bound, for what the SDK says of itself.
_OWN_MESSAGES, _OWN_KBYTES = 100, 64


class EventProducer:
    """Publishes events of one service to Kafka, in the background.

    No method raises or waits for Kafka (except `flush` and `close`, up to their timeout): an event that cannot be
    queued is dropped, counted (`stats`) and reported through the logger `bt_events`. Thread-safe, fork-safe, and
    flushed when the interpreter exits and on SIGTERM (`lifecycle.flush_on_sigterm`).

    :param service: name of the service; default: environment BT_SERVICE, SERVICE_NAME or OTEL_SERVICE_NAME, else
        `unknown`.
    :param instance: which copy of the service; default: BT_INSTANCE, else the host's name (in Kubernetes the pod's).
        `""` for none.
    :param bootstrap: Kafka's addresses, `host:port,…`; default: KAFKA_BOOTSTRAP, else `localhost:9092`.
    :param version: the service's version; default: BT_SERVICE_VERSION or SERVICE_VERSION. Logs carry it as the field
        `service.version`, and the gauge `bt_service_info{version}` is sent at the start and every 5 minutes.
    :param queue_messages: how many events may wait for Kafka.
    :param queue_kbytes: how much JSON they may be, KiB.
    :param max_message_bytes: a larger event is dropped; at most what the broker takes.
    :param linger_ms: how long to wait for a fuller batch.
    :param delivery_timeout: seconds after which an event that Kafka has not taken is given up.
    :param exit_timeout: seconds that the interpreter's exit, or SIGTERM, may wait for the queue to empty.
    :param sigterm: whether to deliver what is queued on SIGTERM, when this is made in the main thread.
    :param config: further settings of librdkafka (TLS, SASL, …); they win over the above and over those from the
        environment (`BT_KAFKA_SECURITY_PROTOCOL` is `security.protocol`, and so on).
    """

    _counter: Counter
    _lock: threading.RLock
    _kafka: Producer | None
    _thread: threading.Thread | None
    _closed: bool
    _broken: str
    _fatal: bool
    _info_at: float

    def __init__(
        self,
        service: str | None = None,
        instance: str | None = None,
        bootstrap: str | None = None,
        *,
        version: str | None = None,
        metrics_topic: str = "metrics.events",
        logs_topic: str = "logs.events",
        health_topic: str = "health.events",
        queue_messages: int = 100_000,
        queue_kbytes: int = 65_536,
        max_message_bytes: int = 1_000_000,
        linger_ms: float = 20,
        delivery_timeout: float = 900,
        exit_timeout: float = 10,
        sigterm: bool = True,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.service = str(service or context.service() or "")
        if not self.service:
            self.service = "unknown"
            _log.warning("no service name: set BT_SERVICE, or pass EventProducer(service=…); using 'unknown'")
        self.instance = context.instance() if instance is None else instance
        self.version = version or context.version()
        self.metrics_topic = metrics_topic
        self.logs_topic = logs_topic
        self.health_topic = health_topic
        self.exit_timeout = exit_timeout
        self._source = events.Source(self.service, self.instance)
        self._bound = (queue_messages, queue_kbytes * 1024)
        from_environment = context.kafka_settings()
        if bootstrap:
            from_environment.pop("bootstrap.servers", None)
        self._config: dict[str, Any] = {
            "bootstrap.servers": bootstrap or context.bootstrap(),
            "client.id": self.service,
            "enable.idempotence": True,
            # In a topic that was just made the broker can refuse the first batch and take the second: the first,
            # sent again, is then a duplicate to it, and acknowledged without being written.
            "max.in.flight.requests.per.connection": 1,
            "compression.type": "snappy",
            # Java's partitioner, so that one key goes to one partition whatever language produced it.
            "partitioner": "murmur2_random",
            "linger.ms": linger_ms,
            "queue.buffering.max.messages": queue_messages + _OWN_MESSAGES,
            "queue.buffering.max.kbytes": queue_kbytes + _OWN_KBYTES,
            "message.max.bytes": max_message_bytes,
            "message.timeout.ms": int(delivery_timeout * 1000),
            # A service may start before its topics are made.
            "topic.metadata.propagation.max.ms": 120_000,
            "reconnect.backoff.max.ms": 5_000,
            # A broker's pod that has just gone swallows connections; librdkafka would wait for one for 30 s.
            "socket.connection.setup.timeout.ms": 5_000,
            "socket.keepalive.enable": True,
            **from_environment,
            **(config or {}),
        }
        self._forget()
        lifecycle.register(self)
        if sigterm:
            lifecycle.flush_on_sigterm()

    # -- the four calls ------------------------------------------------------------------------------------------

    def send_metric(
        self,
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
        """Publish a metric; True when it was queued.

        A counter's `value` is the increment; a gauge's is the new value, or is added with `op="add"`; a histogram's
        is one observation, counted in `buckets` (upper bounds, in increasing order) when they are given. With
        `trace_id` (W3C, 32 hexadecimal digits) Prometheus can lead from the metric to a trace: its exemplar.
        """
        if self._counter.full:
            return self._counter.shed()
        try:
            event = events.metric(name, value, kind, labels, help, unit, op, buckets, trace_id)
        except Exception as error:
            return self._invalid(error)
        return self._send(self.metrics_topic, event, service, instance)

    def send_log(
        self,
        level: str | int,
        message: object,
        logger: str | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        error: events.ErrorLike | None = None,
        fields: Mapping[str, Any] | None = None,
        service: str | None = None,
        instance: str | None = None,
        **more: Any,
    ) -> bool:
        """Publish a log line; True when it was queued.

        `error` is an exception, or a mapping with `type`, `message`, `stack_trace`. Further keyword arguments join
        `fields`.
        """
        if self._counter.full:
            return self._counter.shed()
        try:
            fields = {**(fields or {}), **more} if more else fields
            if self.version:
                fields = {"service.version": self.version, **(fields or {})}
            event = events.log(level, message, logger, trace_id, span_id, error, fields)
        except Exception as problem:
            return self._invalid(problem)
        return self._send(self.logs_topic, event, service, instance)

    def send_record(self, make: Callable[[], events.Event], at: float) -> bool:
        """Publish the log event that `make` returns, of the time `at` (seconds since 1970); for logging handlers.

        `make` is called only when the queue has room.
        """
        if self._counter.full:
            return self._counter.shed()
        try:
            event = make()
            if self.version:
                event["fields"] = {"service.version": self.version, **event.get("fields", {})}
        except Exception as error:
            return self._invalid(error)
        return self._send(self.logs_topic, event, None, None, at)

    def send_event(
        self,
        type: str,
        payload: Mapping[str, Any] | None = None,
        topic: str | None = None,
        service: str | None = None,
        instance: str | None = None,
    ) -> bool:
        """Publish a business event to `topic` (default `<service>.events`); True when it was queued."""
        if self._counter.full:
            return self._counter.shed()
        try:
            event = events.business_event(type, payload)
            topic = events.topic(topic or f"{service or self.service}.events")
        except Exception as error:
            return self._invalid(error)
        return self._send(topic, event, service, instance)

    def send_health(
        self,
        status: str,
        checks: Mapping[str, str] | None = None,
        latency_ms: float | None = None,
        service: str | None = None,
        instance: str | None = None,
    ) -> bool:
        """Publish the service's health: `up`, `degraded` or `down`, and that of each check; True when queued."""
        if self._counter.full:
            return self._counter.shed()
        try:
            event = events.health(status, checks, latency_ms)
        except Exception as error:
            return self._invalid(error)
        return self._send(self.health_topic, event, service, instance)

    # -- what became of them -------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        """How many events were sent, delivered and dropped."""
        return self._counter.stats()

    def flush(self, timeout: float = 10) -> bool:
        """Wait until Kafka has everything that was sent, at most `timeout` seconds; False when something is left."""
        kafka = self._kafka
        if kafka is None:
            return True
        try:
            return int(kafka.flush(timeout)) == 0
        except Exception as error:
            _log.warning("flush failed: %s", error)
            return False

    def close(self, timeout: float = 10) -> bool:
        """Flush, then stop; later events are dropped. False when something could not be delivered in time."""
        self._closed = True
        kafka = self._kafka
        if kafka is not None:
            self._tell(kafka, last=True)
        flushed = self.flush(timeout)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=2)
        self._kafka = None
        if kafka is not None and not flushed:
            try:
                kafka.purge()
                kafka.poll(0)
            except Exception as error:
                _log.debug("purge failed: %s", error)
        self._counter.report(last=True)
        return flushed

    def __enter__(self) -> EventProducer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside --------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """The state before the first event: no connection, no thread, nothing counted."""
        self._counter = Counter(*self._bound)
        self._lock = threading.RLock()
        self._kafka = None
        self._thread = None
        self._closed = False
        self._broken = ""
        self._fatal = False
        self._info_at = float("-inf")

    def _invalid(self, error: Exception) -> bool:
        self._ready()  # its thread writes the report
        self._counter.dropped("invalid", error)
        return False

    def _send(
        self, topic: str, fields: events.Event, service: str | None, instance: str | None, at: float | None = None
    ) -> bool:
        counter = self._counter
        kafka = self._kafka or self._ready()
        if kafka is None:
            counter.dropped("closed" if self._closed else "misconfigured", self._broken or "the producer is closed")
            return False
        try:
            source = self._source
            if service or instance is not None:
                source = events.Source(service or self.service, self.instance if instance is None else instance)
            value = events.record(source, fields, at)
        except events.InvalidEvent as error:
            return self._invalid(error)
        except Exception as error:  # RecursionError, or whatever a value's own __str__ raises
            counter.dropped("unserialisable", f"{topic}: {error}")
            return False
        size = len(value)
        if not counter.admit(size):
            return False
        try:
            kafka.produce(topic, value, source.key)
        except BufferError as error:
            counter.refused(size, "queue_full", error)
            return False
        except KafkaException as error:
            reason = _reason(error.args[0])
            self._fatal = self._fatal or reason == "fatal"
            counter.refused(size, reason, f"{topic}: {error}")
            return False
        except Exception as error:
            counter.refused(size, "error", f"{topic}: {error}")
            return False
        return True

    def _ready(self) -> Producer | None:
        """The client, made on first use so that importing and forking stay cheap; None when it cannot be."""
        if self._kafka is not None or self._closed or self._broken:
            return self._kafka
        with self._lock:
            if self._kafka is None and not self._closed and not self._broken:
                try:
                    self._kafka = self._connect()
                    self._thread = threading.Thread(target=self._serve, name="bt-events", daemon=True)
                    self._thread.start()
                    lifecycle.at_exit_of_a_worker()
                except Exception as error:
                    self._kafka = None
                    self._broken = str(error)
                    _log.error("events cannot be sent, all will be dropped: %s", error)
            return self._kafka

    def _connect(self) -> Producer:
        counter = self._counter

        def on_delivery(error: KafkaError | None, message: Any) -> None:
            if error is None:
                counter.delivered(len(message))
            else:
                counter.failed(len(message), _reason(error), f"{message.topic()}: {error}")

        def on_error(error: KafkaError) -> None:
            if error.fatal():
                self._fatal = True
            else:
                _log.debug("kafka: %s", error)

        callbacks = {"on_delivery": on_delivery, "error_cb": on_error}
        return Producer({**self._config, **callbacks}, logger=_kafka_log)

    def _serve(self) -> None:
        """Runs in the background: delivery reports, log lines, and a new client after a fatal error."""
        while not self._closed:
            kafka = self._kafka
            if kafka is None:
                return
            kafka.poll(0.2)
            self._counter.report()
            self._tell(kafka)
            if self._fatal:
                # An idempotent producer's fatal error (its state was lost on the broker) ends this client for good.
                _log.error("kafka: fatal error, starting a new client; what was queued may be lost")
                self._fatal = False
                try:
                    self._kafka = self._connect()
                    kafka.purge()
                    kafka.poll(0)
                except Exception as error:
                    _log.error("kafka: no new client: %s", error)
                    self._fatal = True
                    time.sleep(1)

    def _tell(self, kafka: Producer, last: bool = False) -> None:
        """What the SDK says of itself, around the service's bound and counts: its drops, and the service's version."""
        now = time.monotonic()
        if self.version and not last and now - self._info_at >= INFO_INTERVAL:
            self._info_at = now
            info = events.metric("bt_service_info", 1, "gauge", {"version": self.version}, "Version of the service.")
            self._say(kafka, info, lambda error, message: None)
        for reason, count in self._counter.take_untold(last).items():
            drops = events.metric(
                "bt_sdk_events_dropped_total",
                count,
                labels={"reason": reason},
                help="Events that the SDK dropped, by reason.",
            )
            told = functools.partial(self._counter.told, reason, count)
            if not self._say(kafka, drops, lambda error, message, told=told: told(error is None)):
                told(False)

    def _say(self, kafka: Producer, metric: events.Event, on_delivery: Any) -> bool:
        try:
            kafka.produce(
                self.metrics_topic, events.record(self._source, metric), self._source.key, on_delivery=on_delivery
            )
        except Exception as error:
            _log.debug("not sent: %s", error)
            return False
        return True

    def after_fork(self) -> None:
        """In a forked child: the parent delivers what was queued; the child starts with a client of its own."""
        if self._kafka is not None:
            # librdkafka's threads did not survive the fork and freeing the client would wait for them for ever.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._kafka))
        closed = self._closed
        self._forget()
        self._closed = closed


def _reason(error: KafkaError) -> str:
    """A short name for the counts, such as `msg_size_too_large` or `timed_out`."""
    if error.code() == KafkaError._MSG_TIMED_OUT:
        return "timed_out"
    return str(error.name()).lower().lstrip("_")
