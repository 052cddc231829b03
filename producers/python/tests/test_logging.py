"""Python's `logging` as log events."""

import contextlib
import copy
import json
import logging
import logging.config
import logging.handlers
import queue
import sys
import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import bt_events
import bt_events.default
from bt_events import BtHandler, install_logging


@pytest.fixture
def logged(sent):
    """A logger with a handler, and a look at what was sent."""
    made = sent()
    logger = logging.getLogger("shop.orders")
    handler = BtHandler(producer=made.producer)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger, handler, made
    logger.removeHandler(handler)
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@contextlib.contextmanager
def bare_root():
    """The root logger as Python has it; what pytest has added comes back afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    logger.handlers[:] = []
    logger.setLevel(logging.WARNING)
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def test_a_call_becomes_an_event(logged):
    logger, _, made = logged
    logger.warning("order %d is %s", 42, "late")
    [event] = made.events("logs.events")
    assert (event["level"], event["message"], event["logger"]) == ("warning", "order 42 is late", "shop.orders")
    assert (event["service"], event["instance"]) == ("orders", "orders-1")
    assert event["fields"]["code.file.path"] == __file__
    assert event["fields"]["code.function.name"] == "test_a_call_becomes_an_event"
    assert event["fields"]["code.line.number"] > 0
    assert "error" not in event and "trace_id" not in event


def test_the_event_has_the_time_of_the_call(logged):
    _, handler, made = logged
    record = logging.makeLogRecord({"name": "a", "levelname": "INFO", "msg": "x", "created": 1767323045.6789})
    handler.handle(record)
    assert made.events()[0]["ts"] == "2026-01-02T03:04:05.678Z"


def test_an_exception_with_its_trace(logged):
    logger, _, made = logged
    try:
        raise KeyError("missing")
    except KeyError:
        logger.exception("failed")
    logger.error("no exception", exc_info=True)
    first, second = made.events()
    assert first["error"]["type"] == "KeyError"
    assert first["error"]["message"] == "'missing'"
    assert "test_an_exception_with_its_trace" in first["error"]["stack_trace"]
    assert first["message"] == "failed"
    assert "error" not in second


def test_extra_becomes_fields_and_what_json_cannot_carry_its_repr(logged):
    logger, _, made = logged
    cycle = {}
    cycle["self"] = cycle
    extra = {"order": 42, "tags": {"a": [1]}, "thing": object, "nan": float("nan"), "cycle": cycle, "_own": 1}
    logger.info("x", extra=extra, stack_info=True)
    fields = made.events()[0]["fields"]
    assert (fields["order"], fields["tags"], fields["nan"]) == (42, {"a": [1]}, "nan")
    assert fields["thing"] == "<class 'object'>"
    assert fields["cycle"] == "{'self': {...}}"
    assert "_own" not in fields and "taskName" not in fields
    assert "test_extra_becomes" in fields["stack"]
    assert made.producer.stats().dropped == {}


def test_what_is_queued_does_not_change_with_its_arguments(logged):
    logger, _, made = logged
    order = {"state": "new"}
    logger.info("order", extra={"order": order})
    order["state"] = "paid"
    assert made.events()[0]["fields"]["order"] == {"state": "new"}


def test_the_current_span(logged):
    logger, _, made = logged
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("a") as span:
        logger.info("inside")
        logger.info("by hand", extra={"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"})
    logger.info("outside", extra={"trace_id": 7})
    logger.info("noted", extra={"otelTraceID": "a" * 32, "otelSpanID": "b" * 16, "otelTraceSampled": True})
    logger.info("noted none", extra={"otelTraceID": "0", "otelSpanID": "0"})
    inside, by_hand, outside, noted, none = made.events()
    assert inside["trace_id"] == trace.format_trace_id(span.get_span_context().trace_id)
    assert inside["span_id"] == trace.format_span_id(span.get_span_context().span_id)
    assert by_hand["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert "trace_id" not in by_hand["fields"]
    assert outside["fields"]["trace_id"] == 7
    assert "trace_id" not in outside and "trace_id" not in none
    assert (noted["trace_id"], noted["span_id"]) == ("a" * 32, "b" * 16)
    assert not [name for name in noted["fields"] if name.startswith("otel")]


class Hostile:
    def __str__(self):
        raise RuntimeError("no text for you")

    __repr__ = __str__


class HostileError(Exception):
    __str__ = Hostile.__str__


def test_nothing_raises(logged, monkeypatch):
    logger, handler, made = logged
    logger.handlers[:] = [handler]  # pytest's own raise
    monkeypatch.setattr(logging, "raiseExceptions", True)
    logger.info("%d and %d", 1)
    logger.info("%s", Hostile())
    logger.info(Hostile())
    try:
        raise HostileError
    except HostileError:
        logger.exception("x", extra={"hostile": Hostile()})
    first, *_, last = made.events()
    assert first["message"].startswith("%d and %d (1,) (not formatted: TypeError")
    assert (last["error"]["type"], last["fields"]["hostile"]) == ("HostileError", "<Hostile>")
    assert len(made.events()) == 4
    handler._producer = object()
    logger.info("no producer")


def test_its_own_lines_and_those_of_its_client_do_not_come_back(sent):
    made = sent()
    with bare_root() as root:
        root.addHandler(BtHandler(producer=made.producer))
        for name in ("bt_events", "bt_events.kafka", "confluent_kafka", "confluent_kafka.x", "bt_events_like"):
            logging.getLogger(name).warning("line of %s", name)
    assert [event["message"] for event in made.events()] == ["line of bt_events_like"]


def test_a_value_that_logs_when_it_is_shown_does_not_recurse(logged):
    logger, handler, made = logged
    logger.handlers[:] = [handler]  # pytest's own recurse

    class Chatty:
        def __str__(self):
            logger.info("shown: %s", self)
            return "chatty"

    logger.info("%s", Chatty())
    assert [event["message"] for event in made.events()] == ["chatty"]


def test_a_record_is_sent_once_also_by_two_handlers(logged, sent):
    logger, _, made = logged
    logger.propagate = True
    with bare_root() as root:
        root.addHandler(BtHandler(producer=made.producer))
        logger.info("once")
        assert len(made.events()) == 1
        other = sent()
        root.addHandler(BtHandler(producer=other.producer))
        logger.info("to each producer")
    assert (len(made.events()), len(other.events())) == (2, 1)


def test_a_full_queue_costs_no_formatting(sent):
    made = sent(queue_messages=1)
    handler = BtHandler(producer=made.producer)
    made.client.up = False
    made.producer.send_log("info", "fills the queue")
    record = logging.makeLogRecord({"name": "a", "levelname": "INFO", "msg": "%s", "args": (Hostile(),)})
    record.getMessage = lambda: pytest.fail("formatted")
    handler.handle(record)
    assert made.producer.stats().dropped == {"queue_full": 1}


def test_handlers_do_not_wait_for_each_other(sent):
    made = sent()
    handler = BtHandler(producer=made.producer)
    handler.acquire()  # as if another thread were in the middle of a call
    try:
        record = logging.makeLogRecord({"name": "a", "levelname": "INFO", "msg": "x"})
        thread = threading.Thread(target=handler.handle, args=(record,))
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
    finally:
        handler.release()
    assert len(made.events()) == 1


def test_filters_and_levels_work_as_always(logged):
    logger, handler, made = logged
    handler.setLevel("WARNING")
    handler.addFilter(lambda record: "secret" not in record.getMessage())
    logger.info("too low")
    logger.error("secret")
    logger.error("fine")
    assert [event["message"] for event in made.events()] == ["fine"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="filters replace records since 3.12")
def test_a_filter_may_replace_the_record(logged):
    logger, handler, made = logged

    def redact(record):
        record = copy.copy(record)
        record.msg = "redacted"
        return record

    handler.addFilter(redact)
    logger.info("secret")
    assert [event["message"] for event in made.events()] == ["redacted"]


def test_a_formatter_makes_the_message(logged):
    logger, handler, made = logged
    handler.setFormatter(logging.Formatter("%(name)s says %(message)s"))
    logger.info("hello")
    assert made.events()[0]["message"] == "shop.orders says hello"


def test_behind_a_queue(logged):
    logger, handler, made = logged
    waiting = queue.Queue()
    logger.handlers[:] = [logging.handlers.QueueHandler(waiting)]
    try:
        raise ValueError("x")
    except ValueError:
        logger.exception("failed", extra={"order": 42})
    listener = logging.handlers.QueueListener(waiting, handler)
    listener.start()
    listener.stop()
    [event] = made.events()
    assert "ValueError: x" in json.dumps(event)
    assert event["fields"]["order"] == 42


def test_from_dict_config(sent, monkeypatch):
    made = sent()
    monkeypatch.setattr(bt_events.default, "_default", made.producer)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"bt": {"class": "bt_events.logging.BtHandler", "level": "INFO"}},
            "loggers": {"shop.config": {"handlers": ["bt"], "level": "DEBUG"}},
        }
    )
    logging.getLogger("shop.config").debug("too low")
    logging.getLogger("shop.config").info("configured")
    assert [event["message"] for event in made.events()] == ["configured"]
    logging.getLogger("shop.config").handlers.clear()


def test_install_logging(sent):
    made = sent()
    with bare_root() as root:
        handler = install_logging("INFO", producer=made.producer)
        assert install_logging("DEBUG", producer=made.producer) is handler
        assert install_logging(logging.INFO, producer=made.producer) is handler
        assert [type(one) for one in root.handlers] == [logging.StreamHandler, BtHandler]  # the console stays
        logging.getLogger("shop.any").info("flows")
        logging.getLogger("shop.any").debug("too low")
    assert [event["message"] for event in made.events()] == ["flows"]


def test_install_logging_keeps_what_is_configured(sent):
    made = sent()
    console = logging.NullHandler()
    with bare_root() as root:
        root.addHandler(console)
        root.setLevel(logging.DEBUG)
        handler = install_logging("ERROR", producer=made.producer)
        assert root.handlers == [console, handler]
        assert root.level == logging.DEBUG
