"""Health checks on a timer."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import logging
import threading
import time
from collections.abc import Awaitable, Collection, Mapping
from typing import Callable, Union

from .default import default_producer
from .producer import EventProducer

Result = Union[bool, str, None]
Check = Callable[[], Union[Result, Awaitable[Result]]]
"""True, None or `"up"`: up; False or `"down"`: down; `"degraded"`; an exception: down."""

_log = logging.getLogger("bt_events")


class Health:
    """Runs checks every `interval` seconds in the background and publishes what they say; see `start_health`."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        interval: float = 15,
        timeout: float = 5,
        critical: Collection[str] = (),
        producer: EventProducer | None = None,
    ) -> None:
        unknown = set(critical) - set(checks)
        if unknown:
            raise ValueError(f"critical: there is no check {', '.join(sorted(map(repr, unknown)))}")
        if interval <= 0 or timeout <= 0:
            raise ValueError("interval and timeout must be more than 0 seconds")
        self.interval = interval
        self.timeout = timeout
        self._critical = frozenset(critical)
        self._producer = producer
        self._runs = [_Runs(name, check) for name, check in checks.items()]
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Check now, and from now on; also after `stop`, and in a forked child."""
        if self._thread is None or self._stop.is_set() or not self._thread.is_alive():
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._serve, args=(self._stop,), name="bt-health", daemon=True)
            self._thread.start()
            atexit.register(self.stop)

    def stop(self) -> None:
        """No more checks. What was published last is not changed: see `start_health`."""
        self._stop.set()
        atexit.unregister(self.stop)

    def run(self) -> tuple[str, dict[str, str]]:
        """Run all checks once, side by side, and publish the result: the service's status, and that of each check."""
        started = time.monotonic()
        for run in self._runs:
            run.begin(self.timeout)
        results = {run.name: run.end(started + self.timeout) for run in self._runs}
        latency = (time.monotonic() - started) * 1000
        status = self._status(results)
        (self._producer or default_producer()).send_health(status, results, latency)
        return status, results

    def _status(self, results: Mapping[str, str]) -> str:
        down = {name for name, result in results.items() if result == "down"}
        if down & self._critical or (down and len(down) == len(results)):
            return "down"
        return "up" if all(result == "up" for result in results.values()) else "degraded"

    def _serve(self, stop: threading.Event) -> None:
        following = time.monotonic()
        while not stop.is_set():
            try:
                self.run()
            except Exception as error:  # such as: no more threads
                _log.error("health checks could not be run: %s", error)
            following = max(following + self.interval, time.monotonic())
            stop.wait(following - time.monotonic())


def start_health(
    checks: Mapping[str, Check],
    interval: float = 15,
    timeout: float = 5,
    critical: Collection[str] = (),
    producer: EventProducer | None = None,
) -> Health:
    """Run `checks` (by name) now and every `interval` seconds in the background and publish the service's health.

    The service is `up` when all checks are, `down` when all are down or one of `critical` is, else `degraded`;
    without checks it is up as long as it runs. A check that takes longer than `timeout` seconds is down, and is not
    started again before it has come back: there is never more than one thread for each. A check that is `async` runs
    in an event loop of its own, so it needs a client of its own too.

    Nothing is sent at the end: a `down` from each pod that a deployment replaces would read as an outage. The series of
    an instance that is gone ages out (`seriesTtl`). A forked child does not go on with its parent's checks, unless it
    calls `start()`.
    """
    health = Health(checks, interval, timeout, critical, producer)
    health.start()
    return health


class _Runs:
    """The runs of one check, of which there is at most one at a time."""

    def __init__(self, name: str, check: Check) -> None:
        self.name = name
        self._check = check
        self._thread: threading.Thread | None = None
        self._result = ""
        self._said = ""

    def begin(self, timeout: float) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._result = ""
            self._thread = threading.Thread(
                target=self._run, args=(timeout,), name=f"bt-health-{self.name}", daemon=True
            )
            self._thread.start()

    def end(self, deadline: float) -> str:
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        return self._result or self._down("no answer in time")

    def _run(self, timeout: float) -> None:
        try:
            answer = self._check()
            if inspect.isawaitable(answer):
                answer = asyncio.run(_bounded(answer, timeout))
        except BaseException as error:
            self._result = self._down(f"{type(error).__name__}: {error}")
            return
        if answer is None or answer is True or answer == "up":
            self._result, self._said = "up", ""
        elif answer == "degraded":
            self._result, self._said = "degraded", ""
        elif answer is False or answer == "down":
            self._result = self._down("it says so")
        else:
            self._result = self._down(f"it returned {answer!r}: use True, False, 'up', 'degraded' or 'down'")

    def _down(self, why: str) -> str:
        if why != self._said:
            self._said = why
            _log.warning("health check %s is down: %s", self.name, why)
        return "down"


async def _bounded(answer: Awaitable[Result], timeout: float) -> Result:
    return await asyncio.wait_for(answer, timeout)
