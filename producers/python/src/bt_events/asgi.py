"""Middleware for FastAPI, Starlette and other ASGI applications: requests, their duration and errors, by route.

    app.add_middleware(BtMiddleware)     # or, around everything: app = BtMiddleware(app)

| metric | kind | labels |
|---|---|---|
| `http_server_requests_total` | counter | `method`, `route`, `status` |
| `http_server_request_duration_seconds` | histogram | `method`, `route` |
| `http_server_errors_total` | counter | `method`, `route`, `error_type`: status from 500 on, or exception's class |
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable, MutableMapping
from typing import Any, Callable

from . import trace
from .default import default_producer
from .producer import EventProducer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
UNMATCHED = "(unmatched)"
CLIENT_CLOSED = "499"
"""Status of a request whose client left before there was a response (nginx' number; nothing was sent)."""

_MEASURED = "bt_events.measured"


class BtMiddleware:
    """Measures each HTTP request of an ASGI application; websockets pass untouched.

    The route is the template (`/orders/{id}`, with the prefixes of mounted applications), or `(unmatched)`: a path
    itself is never a label. A streamed response is measured to its end. A request that passes two of these is counted
    once, by the outer. Exceptions go on to the server. When the application has shut down (lifespan), what is queued is
    flushed: afterwards a server may kill itself with the signal that it got, as uvicorn does, and nothing else runs.

    :param app: the application.
    :param producer: where to send; default: the package's own.
    :param exclude: routes or paths that are not measured, such as `/healthz`; with `*` at the end, all that begin so.
    :param route: finds the template of a request in its scope once it was served, for frameworks other than Starlette.
    """

    def __init__(
        self,
        app: App,
        producer: EventProducer | None = None,
        exclude: Iterable[str] = (),
        route: Callable[[Scope], str | None] | None = None,
    ) -> None:
        self.app = app
        self._producer = producer
        exclude = (exclude,) if isinstance(exclude, str) else tuple(exclude)
        self._excluded = frozenset(one for one in exclude if not one.endswith("*"))
        self._excluded_prefixes = tuple(one[:-1] for one in exclude if one.endswith("*"))
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, self._flushing(send))
            return
        if scope["type"] != "http" or scope.get(_MEASURED) or self._is_excluded(_path(scope)):
            await self.app(scope, receive, send)
            return
        scope[_MEASURED] = True
        request = _Request(scope, receive, send, scope.get("app") or self.app)
        error: BaseException | None = None
        try:
            await self.app(scope, request.receive, request.send)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._measure(request, error)

    def _flushing(self, send: Send) -> Send:
        async def flush_and_send(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                producer = self._producer or default_producer()
                try:
                    loop = asyncio.get_running_loop()
                except RuntimeError:  # not asyncio but trio
                    producer.flush(producer.exit_timeout)
                else:
                    await loop.run_in_executor(None, producer.flush, producer.exit_timeout)
            await send(message)

        return flush_and_send

    def _measure(self, request: _Request, error: BaseException | None) -> None:
        duration = time.perf_counter() - request.started
        try:
            route = (self._route(request.scope) if self._route else request.route()) or UNMATCHED
            if self._is_excluded(route):
                return
            producer = self._producer or default_producer()
            status, error_type = request.outcome(error)
            labels = {"method": request.method, "route": route}
            producer.send_metric(
                "http_server_requests_total", labels={**labels, "status": status}, help="HTTP requests served."
            )
            producer.send_metric(
                "http_server_request_duration_seconds",
                duration,
                "histogram",
                labels,
                "Time to serve an HTTP request.",
                "seconds",
                buckets=BUCKETS,
                trace_id=trace.sampled(),
            )
            if error_type:
                producer.send_metric(
                    "http_server_errors_total",
                    labels={**labels, "error_type": error_type},
                    help="HTTP requests that failed in the server.",
                )
        except Exception:  # a scope or a router that is not what it should be: no reason to fail the request
            return

    def _is_excluded(self, route: str) -> bool:
        return route in self._excluded or route.startswith(self._excluded_prefixes)


class _Request:
    """One request, and what passes between the server and the application."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, router: object) -> None:
        self.started = time.perf_counter()
        self.scope = scope
        self.method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        # As it arrives: routing changes the scope.
        self._as_received = {key: value for key, value in scope.items() if key != "fastapi"}
        self._router = router
        self._receive = receive
        self._send = send
        self._status = 0
        self._complete = self._gone = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._complete:
            self._gone = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            self._complete = True
        await self._send(message)

    def outcome(self, error: BaseException | None) -> tuple[str, str]:
        """The status, as the client saw it or would have, and the type of the error, if the server made one."""
        left = isinstance(error, asyncio.CancelledError) or (
            self._gone and (error is None or isinstance(error, OSError) or type(error).__name__ == "ClientDisconnect")
        )
        if left:
            return (str(self._status), "") if self._status else (CLIENT_CLOSED, "")
        # A server answers 500 to an exception, and to an application that says nothing.
        status = str(self._status or 500)
        if error is not None:
            return status, type(error).__name__
        return status, status if int(status) >= 500 else ""

    def route(self) -> str | None:
        """The template of the route, as Starlette's and FastAPI's routers match it."""
        router = self._router
        while router is not None and not hasattr(router, "routes"):  # other middleware around the application
            router = getattr(router, "app", None)
        return _template(getattr(router, "routes", ()), self._as_received)


def _template(routes: Iterable[Any], scope: Scope) -> str | None:
    """The templates of the routes that match, from the outermost on; a method that does not match is a second best."""
    partial = None
    for route in routes:
        match, child = route.matches(scope)
        if match.name == "NONE":
            continue
        inner = scope if not child else {**scope, **child}
        if hasattr(route, "effective_route_contexts"):  # FastAPI's included router (since 0.137): no path of its own
            found = _template(route.effective_route_contexts(), scope)
        elif getattr(route, "starlette_route", None) is not None:  # one of its routes that is not FastAPI's own
            found = _template([route.starlette_route], scope)
        else:
            found = getattr(route, "path", "")
            if getattr(route, "routes", None):  # mounted
                below = _template(route.routes, inner)
                found = found + below if below is not None else None
        if match.name == "FULL":
            return found
        partial = partial or found
    return partial


def _path(scope: Scope) -> str:
    """The path without the prefix under which the application is served."""
    path, prefix = str(scope.get("path", "")), str(scope.get("root_path", ""))
    return path[len(prefix) :] if prefix and path.startswith(prefix + "/") else path
