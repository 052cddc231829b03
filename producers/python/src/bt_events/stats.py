"""Counts of what became of the events, and the rate-limited report of those that were lost."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

REPORT_INTERVAL = 30.0
"""Seconds between two log lines about the same reason."""

_log = logging.getLogger("bt_events")


class Quiet(logging.Filter):
    """Lets one line of each kind (its first word) through in `REPORT_INTERVAL`: librdkafka repeats itself."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is worth showing."""
        kind = record.getMessage().split(" ", 1)[0]
        now = time.monotonic()
        if now - self._seen.get(kind, float("-inf")) < REPORT_INTERVAL:
            return False
        self._seen[kind] = now
        return True


@dataclass(frozen=True)
class Stats:
    """What became of the events given to one producer since it was made.

    `sent` were taken into the queue; of those `delivered` are acknowledged by Kafka, `queued` still wait, and the
    rest is in `dropped`, which also has the events that never got into the queue, by reason.
    """

    sent: int = 0
    delivered: int = 0
    queued: int = 0
    dropped: dict[str, int] = field(default_factory=dict)


class Counter:
    """Thread-safe counts, and the bound of what may wait for Kafka.

    Counting is cheap; the log line is written by whoever calls `report`. The lock is reentrant because a signal
    handler or a finalizer can send an event in the middle of a call.

    :param max_events: how many events may wait.
    :param max_bytes: how many bytes of JSON they may be.
    """

    full: bool
    """Whether nothing more may wait. To be asked first: it costs nothing, and what follows is for naught if it is."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._lock = threading.RLock()
        self._max_events = max_events
        self._max_bytes = max_bytes
        self.full = False
        self._bytes = 0
        self._sent = 0
        self._delivered = 0
        self._queued = 0
        self._dropped: dict[str, int] = {}
        self._detail: dict[str, str] = {}
        self._logged: dict[str, tuple[float, int]] = {}
        self._untold: dict[str, int] = {}
        self._telling = 0
        self._told_at = float("-inf")

    def admit(self, size: int) -> bool:
        """Whether one event of `size` bytes may be queued; it is counted as sent, or as dropped."""
        with self._lock:
            if self._queued and self._bytes + size > self._max_bytes:
                self.full = True
            if self.full:
                self._drop("queue_full", self._what_waits())
                return False
            self._sent += 1
            self._queued += 1
            self._bytes += size
            self.full = self._queued >= self._max_events or self._bytes >= self._max_bytes
            return True

    def refused(self, size: int, reason: str, detail: object) -> None:
        """The event that was admitted was not queued after all."""
        with self._lock:
            self._sent -= 1
            self._leave(size)
            self._drop(reason, detail)

    def delivered(self, size: int) -> None:
        """Kafka has acknowledged one event."""
        with self._lock:
            self._delivered += 1
            self._leave(size)

    def failed(self, size: int, reason: str, detail: object) -> None:
        """One queued event was given up."""
        with self._lock:
            self._leave(size)
            self._drop(reason, detail)

    def dropped(self, reason: str, detail: object) -> None:
        """One event was dropped before it was admitted."""
        with self._lock:
            self._drop(reason, detail)

    def shed(self) -> bool:
        """One event is dropped because the queue is full; False, for the caller to return."""
        with self._lock:
            self._drop("queue_full", self._what_waits())
        return False

    def stats(self) -> Stats:
        """The counts now."""
        with self._lock:
            return Stats(self._sent, self._delivered, self._queued, dict(self._dropped))

    def report(self, last: bool = False) -> None:
        """Log a warning for each reason with new drops: the first at once, then every `REPORT_INTERVAL`."""
        now = time.monotonic()
        lines = []
        with self._lock:
            for reason, count in self._dropped.items():
                at, before = self._logged.get(reason, (float("-inf"), 0))
                if count > before and (last or now - at >= REPORT_INTERVAL):
                    self._logged[reason] = (now, count)
                    lines.append((count - before, reason, self._detail[reason], count))
        for line in lines:
            _log.warning("dropped %d event(s): %s: %s (%d in all)", *line)

    def take_untold(self, last: bool = False) -> dict[str, int]:
        """The drops, by reason, that no metric has told of yet; the caller sends one for each and answers with `told`.

        Nothing for `REPORT_INTERVAL` after the last, and while the queue is full or the last ones still wait: when
        Kafka is away, reports would only pile up.
        """
        now = time.monotonic()
        with self._lock:
            if not last and (self.full or self._telling or now - self._told_at < REPORT_INTERVAL):
                return {}
            untold, self._untold = self._untold, {}
            if untold:
                self._told_at = now
                self._telling += len(untold)
            return untold

    def told(self, reason: str, count: int, delivered: bool) -> None:
        """What became of a metric about drops; one that Kafka did not take is told again."""
        with self._lock:
            self._telling -= 1
            if not delivered:
                self._untold[reason] = self._untold.get(reason, 0) + count

    def _leave(self, size: int) -> None:
        self._queued -= 1
        self._bytes -= size
        self.full = self._queued >= self._max_events or self._bytes >= self._max_bytes

    def _drop(self, reason: str, detail: object) -> None:
        self._dropped[reason] = self._dropped.get(reason, 0) + 1
        self._untold[reason] = self._untold.get(reason, 0) + 1
        self._detail[reason] = str(detail)[:500]

    def _what_waits(self) -> str:
        return f"{self._queued} events of {self._bytes >> 10} KiB wait for Kafka"
