"""The producer behind the package's functions."""

from __future__ import annotations

import threading

from . import lifecycle
from .producer import EventProducer

_default: EventProducer | None = None
_lock = threading.RLock()


def default_producer() -> EventProducer:
    """The producer behind the package's functions, made from the environment on first use."""
    global _default
    if _default is None:
        with _lock:
            if _default is None:
                _default = EventProducer()
    return _default


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


lifecycle.on_fork(_after_fork)
