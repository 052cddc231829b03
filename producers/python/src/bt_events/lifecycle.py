"""The ends of a process, and its copies: exit, SIGTERM, fork."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import time
import weakref
from types import FrameType
from typing import Callable, Protocol

_log = logging.getLogger("bt_events")

CHAINED_FLUSH = 1.0
"""Seconds that SIGTERM may wait for the queue before the service's own handler of SIGTERM is called."""


class Living(Protocol):
    """What has to be told."""

    exit_timeout: float

    def flush(self, timeout: float) -> bool:
        """Wait until Kafka has everything."""

    def close(self, timeout: float) -> bool:
        """Flush, then stop."""

    def after_fork(self) -> None:
        """This is a forked child now."""


_living: weakref.WeakSet[Living] = weakref.WeakSet()
_forked: list[Callable[[], None]] = []
_multiprocessing_child = False


def register(one: Living) -> None:
    """Close `one` when the process ends and tell it of forks."""
    _living.add(one)


def on_fork(call: Callable[[], None]) -> None:
    """Call `call` in each forked child."""
    _forked.append(call)


def at_exit_of_a_worker() -> None:
    """Children of `multiprocessing` leave without `atexit`; they have exit handlers of their own."""
    global _multiprocessing_child
    module = sys.modules.get("multiprocessing.process")
    if _multiprocessing_child or module is None or module.parent_process() is None:
        return
    from multiprocessing.util import Finalize

    _multiprocessing_child = True
    Finalize(None, _close_all, exitpriority=100)


def flush_on_sigterm() -> bool:
    """Deliver what is queued when SIGTERM comes; False when this is not the main thread, or SIGTERM is ignored.

    Without a handler of the service's own the process still dies of SIGTERM, after at most the producers' exit
    timeout (as process 1 of a container it lives on, as always). With one, it is called as before, after at most
    `CHAINED_FLUSH` seconds; events can be sent until the process ends. A handler installed later replaces this one:
    what is queued is then flushed at the exit it leads to.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    before = signal.getsignal(signal.SIGTERM)
    if isinstance(before, _OnSigterm):
        return True
    if before is None or before is signal.SIG_IGN:  # None: installed by other than Python code
        return False
    try:
        signal.signal(signal.SIGTERM, _OnSigterm(before))
    except (ValueError, OSError):  # a subinterpreter
        return False
    return True


class _OnSigterm:
    def __init__(self, before: Callable[[int, FrameType | None], object] | int | signal.Handlers) -> None:
        self._before = before

    def __call__(self, number: int, frame: FrameType | None) -> None:
        # The kernel protects process 1 of a container from signals without a handler: it lives on.
        if callable(self._before) or os.getpid() == 1:
            _each(CHAINED_FLUSH, lambda producer, timeout: producer.flush(timeout))
            if callable(self._before):
                self._before(number, frame)
            return
        _close_all()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _close_all() -> None:
    _each(None, lambda producer, timeout: producer.close(timeout))


def _each(bound: float | None, call: Callable[[Living, float], bool]) -> None:
    """`call` with each producer and what is left of `bound` seconds; None: of the longest exit timeout."""
    producers = list(_living)
    if bound is None:
        bound = max((producer.exit_timeout for producer in producers), default=0.0)
    deadline = time.monotonic() + bound
    for producer in producers:
        try:
            call(producer, max(0.0, deadline - time.monotonic()))
        except Exception as error:
            _log.debug("at the end of the process: %s", error)


def _after_fork() -> None:
    global _multiprocessing_child
    _multiprocessing_child = False
    for producer in list(_living):
        producer.after_fork()
    for call in _forked:
        call()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
