"""The current trace, when the service uses OpenTelemetry. This package does not need it and never imports it."""

from __future__ import annotations

import sys
from typing import Any


def current() -> tuple[str | None, str | None]:
    """Trace id (32 hexadecimal digits) and span id (16) of OpenTelemetry's current span; None where there is none."""
    context = _context()
    if context is None:
        return None, None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def sampled() -> str | None:
    """The trace id when the current span is kept, so that an exemplar leads to a trace that exists."""
    context = _context()
    return f"{context.trace_id:032x}" if context is not None and context.trace_flags & 1 else None


def _context() -> Any:
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    try:
        context = api.get_current_span().get_span_context()
        return context if context.is_valid else None
    except Exception:  # half imported, or a replacement that is not complete
        return None
