"""A handler for Python's `logging`: the log calls that a service has already become log events.

    import bt_events
    bt_events.install_logging(level="INFO")

or, in a `logging.config.dictConfig`:

    "handlers": {"bt": {"class": "bt_events.logging.BtHandler", "level": "INFO"}}
"""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

from . import events, trace
from .default import default_producer
from .producer import EventProducer

# What the SDK and its Kafka client log must not come back to them.
_OWN = ("bt_events", "confluent_kafka")
# What every record has, and what OpenTelemetry's logging instrumentation adds; the rest came by `extra=`.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "otelTraceID",
    "otelSpanID",
    "otelTraceSampled",
    "otelServiceName",
}
_SENT = "_bt_events_sent"


class BtHandler(logging.Handler):
    """Sends log records as log events: level (in lower case), logger, message, exception, `extra=` as fields.

    The fields `code.file.path`, `code.line.number` and `code.function.name` say where the call stands. Trace and span
    id are those of OpenTelemetry's current span, or of `extra={"trace_id": …, "span_id": …}`. With a formatter the
    message is what it makes of the record. What JSON cannot carry is sent as its `repr`.

    Never raises and never waits, not even for another thread that logs: the queue of the producer is the only bound.
    Attached twice, to a logger and to one above it, it still sends a record once.

    :param level: records below it are not sent.
    :param producer: where to send; default: the package's own.
    """

    def __init__(self, level: int | str = logging.NOTSET, producer: EventProducer | None = None) -> None:
        super().__init__(level)
        self._producer = producer
        self._busy = threading.local()

    @property
    def producer(self) -> EventProducer:
        """Where the events go."""
        return self._producer or default_producer()

    def handle(self, record: logging.LogRecord) -> bool:
        """As in `logging.Handler`, but without its lock: nothing here needs it."""
        passed: Any = self.filter(record)
        if isinstance(passed, logging.LogRecord):  # since Python 3.12 a filter may replace the record
            record = passed
        if passed:
            self.emit(record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record as an event."""
        if record.name.split(".", 1)[0] in _OWN or getattr(self._busy, "now", False):
            return
        self._busy.now = True  # formatting calls the service's own code, which may log
        try:
            producer = self.producer
            sent = record.__dict__.setdefault(_SENT, [])
            if id(producer) not in sent:
                sent.append(id(producer))
                producer.send_record(lambda: self._event(record), record.created)
        except Exception:  # a finalizer at exit, a `producer` that is none
            pass
        finally:
            self._busy.now = False

    def _event(self, record: logging.LogRecord) -> events.Event:
        fields: dict[str, Any] = {
            "code.file.path": record.pathname,
            "code.line.number": record.lineno,
            "code.function.name": record.funcName,
        }
        for name, value in record.__dict__.items():
            if name not in _STANDARD and not name.startswith("_"):
                fields[name] = _carried(value)
        if record.stack_info:
            fields["stack"] = record.stack_info
        trace_id, span_id = _trace(record, fields)
        return events.log(
            record.levelname.lower(),
            self._message(record),
            record.name,
            trace_id,
            span_id,
            _error(record),
            fields,
        )

    def _message(self, record: logging.LogRecord) -> str:
        try:
            return self.formatter.format(record) if self.formatter else record.getMessage()
        except Exception as error:  # the arguments do not fit the format: better an odd line than none
            return f"{_text(record.msg)} {_text(record.args)} (not formatted: {_text(error)})"


def install_logging(
    level: int | str = logging.INFO, logger: str | None = None, producer: EventProducer | None = None
) -> BtHandler:
    """Send what is logged from `level` on; to be called after the service has configured its own logging.

    The handler joins those that are there. A logger that would not let `level` through is opened for it. A root logger
    without any handler gets Python's usual one first (`logging.basicConfig()`), so that the console does not fall
    silent. Called again it changes the level of the handler that is there.

    :param logger: name of the logger; default: the root. Loggers that do not propagate (uvicorn's: `uvicorn`,
        `uvicorn.access`) need a call of their own.
    """
    target = logging.getLogger(logger)
    handler = next((h for h in target.handlers if isinstance(h, BtHandler) and h._producer is producer), None)
    if handler is None:
        if not logging.getLogger().handlers:
            logging.basicConfig()
        handler = BtHandler(producer=producer)
        target.addHandler(handler)
    handler.setLevel(level)
    if target.getEffectiveLevel() > handler.level:
        target.setLevel(handler.level)
    return handler


def _trace(record: logging.LogRecord, fields: dict[str, Any]) -> tuple[str | None, str | None]:
    """Those given by hand, else those OpenTelemetry noted when the call was made, else the current span's."""
    found: list[str | None] = []
    for own, noted in (("trace_id", "otelTraceID"), ("span_id", "otelSpanID")):
        by_hand = fields.pop(own) if isinstance(fields.get(own), str) else None
        value = by_hand or getattr(record, noted, None)
        found.append(value if isinstance(value, str) and value.strip("0") else None)
    return (found[0], found[1]) if found[0] else trace.current()


def _error(record: logging.LogRecord) -> events.ErrorLike | None:
    if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        error = record.exc_info[1]
        try:
            return events.error_info(error)
        except Exception:  # an exception whose own text cannot be had
            return {"type": type(error).__name__, "message": _text(error)}
    if record.exc_text:  # the exception stayed in another process; see logging.handlers.QueueHandler
        return {"stack_trace": record.exc_text}
    return None


def _carried(value: object) -> object:
    """`value` where JSON can carry it, else its `repr`."""
    if value is None or type(value) in (str, int, bool):
        return value
    try:
        return json.loads(events.encode(value))
    except Exception:
        return _text(value)


def _text(value: object) -> str:
    try:
        return value if isinstance(value, str) else repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
