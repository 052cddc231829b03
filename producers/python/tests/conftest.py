"""A Kafka client that keeps what it is given, and an environment that says nothing."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import bt_events.producer
from bt_events import EventProducer


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """No service, instance, version or Kafka settings from outside."""
    for name in list(os.environ):
        if name.startswith("BT_") or name in ("SERVICE_NAME", "SERVICE_VERSION", "OTEL_SERVICE_NAME"):
            monkeypatch.delenv(name)


class Message:
    """A delivery report's message."""

    def __init__(self, topic, value):
        self._topic, self._value = topic, value

    def topic(self):
        return self._topic

    def __len__(self):
        return len(self._value)


class Client:
    """Stands where confluent_kafka's producer does; `poll` and `flush` deliver when the broker is `up`."""

    def __init__(self, config, logger=None):
        self.config, self.records, self.waiting, self.up = config, [], [], True

    def produce(self, topic, value, key, on_delivery=None):
        self.waiting.append((topic, key, value, on_delivery or self.config["on_delivery"]))

    def poll(self, timeout):
        while self.up and self.waiting:
            topic, key, value, on_delivery = self.waiting.pop(0)
            self.records.append((topic, key, value))
            on_delivery(None, Message(topic, value))
        time.sleep(min(timeout, 0.01))

    def flush(self, timeout):
        self.poll(0)
        return len(self.waiting)

    def purge(self):
        self.waiting.clear()


class Sent:
    """A producer and what it has sent."""

    def __init__(self, clients, **arguments):
        self.clients = clients
        self.producer = EventProducer(**{"service": "orders", "instance": "orders-1", **arguments})

    @property
    def client(self):
        """The client of a producer that was not closed."""
        return self.producer._ready()

    @property
    def records(self):
        """Topic, key and value, as bytes, of each record."""
        self.producer.flush(1)
        return [record for client in self.clients for record in client.records]

    def events(self, topic=None):
        """The events, decoded; those of `topic` only if it is given."""
        return [json.loads(value) for t, _, value in self.records if topic in (None, t)]


@pytest.fixture
def sent(monkeypatch):
    """Makes producers whose records can be looked at."""
    made = []

    def make(**arguments):
        clients = []

        def client(config, logger=None):
            clients.append(Client(config, logger))
            return clients[-1]

        monkeypatch.setattr(bt_events.producer, "Producer", client)
        made.append(Sent(clients, **arguments))
        return made[-1]

    yield make
    for one in made:
        one.producer.close(0)


def run(code, expect=0, **env):
    """Run `code` in an interpreter of its own, which must end with `expect`; what it printed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BT_", "SERVICE_")) or k in env}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**kept, "PYTHONPATH": "src", **env},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == expect, done.stderr
    return done.stdout + done.stderr


def until(true, seconds=10):
    """Wait until `true()`, at most so long; what it said last."""
    deadline = time.monotonic() + seconds
    while not (said := true()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return said
