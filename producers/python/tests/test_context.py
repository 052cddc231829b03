"""What comes from the environment."""

import socket

import pytest
from conftest import until

from bt_events import EventProducer


@pytest.mark.parametrize(
    ("variables", "service"),
    [
        ({}, "unknown"),
        ({"OTEL_SERVICE_NAME": "c"}, "c"),
        ({"OTEL_SERVICE_NAME": "c", "SERVICE_NAME": "b"}, "b"),
        ({"OTEL_SERVICE_NAME": "c", "SERVICE_NAME": "b", "BT_SERVICE": "a"}, "a"),
        ({"BT_SERVICE": "", "SERVICE_NAME": "b"}, "b"),
    ],
)
def test_the_service(monkeypatch, variables, service):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert EventProducer(sigterm=False).service == service


def test_instance_and_kafka(monkeypatch):
    monkeypatch.delenv("KAFKA_BOOTSTRAP", raising=False)
    producer = EventProducer("orders", sigterm=False)
    assert producer.instance == socket.gethostname()
    assert producer._config["bootstrap.servers"] == "localhost:9092"
    monkeypatch.setenv("BT_INSTANCE", "orders-1")
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "kafka:1234")
    producer = EventProducer("orders", sigterm=False)
    assert (producer.instance, producer._config["bootstrap.servers"]) == ("orders-1", "kafka:1234")
    assert EventProducer("orders", "", sigterm=False).instance == ""


def test_settings_of_kafka_by_prefix(monkeypatch):
    monkeypatch.setenv("BT_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("BT_KAFKA_SASL_USERNAME", "orders")
    monkeypatch.setenv("BT_KAFKA_BOOTSTRAP_SERVERS", "elsewhere:1")
    config = EventProducer("orders", "", "kafka:1", sigterm=False, config={"sasl.username": "by hand"})._config
    assert config["security.protocol"] == "SASL_SSL"
    assert config["sasl.username"] == "by hand"
    assert config["bootstrap.servers"] == "kafka:1"
    assert EventProducer("orders", "", sigterm=False)._config["bootstrap.servers"] == "elsewhere:1"


def test_a_kubernetes_service_called_bt_kafka_is_no_setting(monkeypatch, sent):
    for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_KAFKA", "PORT", "PORT_9092_TCP", "PORT_9092_TCP_ADDR"):
        monkeypatch.setenv(f"BT_KAFKA_{name}", "10.0.0.1")
    assert set(EventProducer("orders", "", sigterm=False)._config) == set(sent().producer._config)
    assert not [key for key, value in EventProducer("orders", "")._config.items() if value == "10.0.0.1"]


def test_the_version_is_a_field_of_logs_and_a_metric(monkeypatch, sent):
    monkeypatch.setenv("SERVICE_VERSION", "1.2.3")
    made = sent()
    made.producer.send_log("info", "x", a=1)
    made.producer.send_log("info", "y", fields={"service.version": "other"})
    [first, second] = made.events("logs.events")
    assert first["fields"] == {"service.version": "1.2.3", "a": 1}
    assert second["fields"] == {"service.version": "other"}
    assert until(lambda: made.events("metrics.events"))
    [info] = made.events("metrics.events")
    assert (info["name"], info["kind"], info["value"], info["labels"]) == (
        "bt_service_info",
        "gauge",
        1,
        {"version": "1.2.3"},
    )
    assert made.producer.stats().sent == 2  # what the SDK says of itself is not counted


def test_no_version_no_metric(sent):
    made = sent()
    made.producer.send_log("info", "x")
    made.producer.close()
    assert [event.get("fields") for event in made.events()] == [None]
