"""What a service is and where its Kafka is, from the environment."""

from __future__ import annotations

import os
import re
import socket

KAFKA_PREFIX = "BT_KAFKA_"
"""Prefix of the variables that are settings of librdkafka: BT_KAFKA_SECURITY_PROTOCOL is `security.protocol`."""

# Kubernetes gives every pod variables for each Service: one called `bt-kafka` would be taken for settings.
_OF_A_KUBERNETES_SERVICE = re.compile(r"(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_.*)?)\Z")


def service() -> str | None:
    """The service's name: BT_SERVICE, SERVICE_NAME or OTEL_SERVICE_NAME."""
    return _first("BT_SERVICE", "SERVICE_NAME", "OTEL_SERVICE_NAME")


def instance() -> str:
    """Which copy of the service this is: BT_INSTANCE, else the host's name (in Kubernetes the pod's)."""
    return _first("BT_INSTANCE") or socket.gethostname()


def version() -> str | None:
    """The service's version: BT_SERVICE_VERSION or SERVICE_VERSION."""
    return _first("BT_SERVICE_VERSION", "SERVICE_VERSION")


def bootstrap() -> str:
    """Kafka's addresses: KAFKA_BOOTSTRAP, else `localhost:9092`."""
    return _first("KAFKA_BOOTSTRAP") or "localhost:9092"


def kafka_settings() -> dict[str, str]:
    """Settings of librdkafka from variables with the prefix BT_KAFKA_."""
    return {
        name[len(KAFKA_PREFIX) :].lower().replace("_", "."): value
        for name, value in os.environ.items()
        if name.startswith(KAFKA_PREFIX) and not _OF_A_KUBERNETES_SERVICE.match(name[len(KAFKA_PREFIX) :])
    }


def _first(*names: str) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)
