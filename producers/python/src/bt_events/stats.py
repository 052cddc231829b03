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
        if now - self._seen.get(kind, -REPORT_INTERVAL) < REPORT_INTERVAL:
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
    """Thread-safe counts. Counting is cheap; the log line is written by whoever calls `report`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = 0
        self._delivered = 0
        self._failed = 0
        self._dropped: dict[str, int] = {}
        self._detail: dict[str, str] = {}
        self._reported: dict[str, tuple[float, int]] = {}

    def sent(self) -> None:
        """One event is about to be queued."""
        with self._lock:
            self._sent += 1

    def refused(self, reason: str, detail: object) -> None:
        """The event counted by `sent` was not queued after all."""
        with self._lock:
            self._sent -= 1
            self._drop(reason, detail)

    def dropped(self, reason: str, detail: object) -> None:
        """One event was dropped before it was counted as sent."""
        with self._lock:
            self._drop(reason, detail)

    def delivered(self) -> None:
        """Kafka has acknowledged one event."""
        with self._lock:
            self._delivered += 1

    def failed(self, reason: str, detail: object) -> None:
        """One queued event was given up."""
        with self._lock:
            self._failed += 1
            self._drop(reason, detail)

    def stats(self) -> Stats:
        """The counts now."""
        with self._lock:
            queued = self._sent - self._delivered - self._failed
            return Stats(self._sent, self._delivered, queued, dict(self._dropped))

    def report(self, last: bool = False) -> None:
        """Log a warning for each reason with new drops: the first at once, then every `REPORT_INTERVAL`."""
        now = time.monotonic()
        lines = []
        with self._lock:
            for reason, count in self._dropped.items():
                at, before = self._reported.get(reason, (-REPORT_INTERVAL, 0))
                if count > before and (last or now - at >= REPORT_INTERVAL):
                    self._reported[reason] = (now, count)
                    lines.append((count - before, reason, self._detail[reason], count))
        for line in lines:
            _log.warning("dropped %d event(s): %s: %s (%d in all)", *line)

    def _drop(self, reason: str, detail: object) -> None:
        self._dropped[reason] = self._dropped.get(reason, 0) + 1
        self._detail[reason] = str(detail)[:500]
