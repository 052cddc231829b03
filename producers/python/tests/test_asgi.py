"""The middleware, in Starlette and FastAPI and around bare ASGI applications."""

import asyncio
import socket
import threading
import time

import fastapi
import httpx
import pytest
import uvicorn
from conftest import Client, run
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

from bt_events import asgi
from bt_events.asgi import BtMiddleware

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


async def item(request):
    return PlainTextResponse(str(request.path_params.get("id", "none")))


async def fails(request):
    raise LookupError("no such thing")


async def unavailable(request):
    return PlainTextResponse("later", 503)


async def streams(request):
    async def body():
        for n in range(3):
            await asyncio.sleep(0.05)
            yield f"{n}\n"

    return StreamingResponse(body())


async def socket_endpoint(websocket):
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


def starlette(producer, routes=None, **options):
    routes = routes or [
        Route("/orders/{id:int}", item, methods=["GET", "POST"]),
        Route("/fails", fails),
        Route("/unavailable", unavailable),
        Route("/streams", streams),
        Route("/healthz", item),
        WebSocketRoute("/socket", socket_endpoint),
    ]
    return Starlette(routes=routes, middleware=[Middleware(BtMiddleware, producer=producer, **options)])


def client(app, **options):
    return TestClient(app, raise_server_exceptions=False, **options)


def requests(made):
    """method, route, status of each request that was counted."""
    counted = [e for e in made.events() if e["name"] == "http_server_requests_total"]
    assert all((event["kind"], event["value"]) == ("counter", 1) for event in counted)
    return [(e["labels"]["method"], e["labels"]["route"], e["labels"]["status"]) for e in counted]


def errors(made):
    return [e["labels"] for e in made.events() if e["name"] == "http_server_errors_total"]


def test_what_is_sent_of_a_request(sent):
    made = sent()
    assert client(starlette(made.producer)).get("/orders/42?secret=1").status_code == 200
    counter, histogram = made.events("metrics.events")
    assert (counter["name"], counter["kind"], counter["value"]) == ("http_server_requests_total", "counter", 1)
    assert counter["labels"] == {"method": "GET", "route": "/orders/{id:int}", "status": "200"}
    assert (histogram["name"], histogram["kind"]) == ("http_server_request_duration_seconds", "histogram")
    assert histogram["labels"] == {"method": "GET", "route": "/orders/{id:int}"}
    assert histogram["unit"] == "seconds" and 0 < histogram["value"] < 5
    assert histogram["buckets"] == [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]


def test_routes_methods_and_statuses(sent):
    made = sent()
    http = client(starlette(made.producer))
    http.post("/orders/1")
    http.delete("/orders/1")
    http.get("/orders/x")
    http.get("/no/such/path")
    http.request("BREW", "/orders/1")
    http.head("/orders/1")
    assert requests(made) == [
        ("POST", "/orders/{id:int}", "200"),
        ("DELETE", "/orders/{id:int}", "405"),
        ("GET", "(unmatched)", "404"),
        ("GET", "(unmatched)", "404"),
        ("_OTHER", "/orders/{id:int}", "405"),
        ("HEAD", "/orders/{id:int}", "200"),
    ]
    assert errors(made) == []


def test_errors(sent):
    made = sent()
    http = client(starlette(made.producer))
    assert http.get("/fails").status_code == 500
    assert http.get("/unavailable").status_code == 503
    assert requests(made) == [("GET", "/fails", "500"), ("GET", "/unavailable", "503")]
    assert errors(made) == [
        {"method": "GET", "route": "/fails", "error_type": "LookupError"},
        {"method": "GET", "route": "/unavailable", "error_type": "503"},
    ]


def test_around_everything_an_exception_is_one_error(sent):
    made = sent()
    app = BtMiddleware(Starlette(routes=[Route("/fails", fails)]), producer=made.producer)
    with pytest.raises(LookupError):  # goes on to the server
        TestClient(app).get("/fails")
    assert requests(made) == [("GET", "/fails", "500")]
    assert [error["error_type"] for error in errors(made)] == ["LookupError"]


def test_two_of_them_count_once(sent):
    made = sent()
    client(BtMiddleware(starlette(made.producer), producer=made.producer)).get("/orders/1")
    assert requests(made) == [("GET", "/orders/{id:int}", "200")]


def test_mounted_applications(sent, tmp_path):
    made = sent()
    (tmp_path / "style.css").write_text("x")
    sub = Starlette(routes=[Route("/items/{id}", item), Route("/fails", fails)])
    routes = [
        Mount("/tenants/{tenant}", routes=[Mount("/api", app=sub), Route("/", item)]),
        Mount("/static", app=StaticFiles(directory=tmp_path)),
        Mount("/plain", app=PlainTextResponse("x")),
    ]
    http = client(starlette(made.producer, routes), root_path="/proxy")
    for path in (
        "/tenants/acme/api/items/7",
        "/tenants/acme/",
        "/tenants/acme/api/none",
        "/tenants/acme/api/fails",
        "/static/style.css",
        "/plain/x/y",
    ):
        http.get("/proxy" + path)
    assert requests(made) == [
        ("GET", "/tenants/{tenant}/api/items/{id}", "200"),
        ("GET", "/tenants/{tenant}/", "200"),
        ("GET", "(unmatched)", "404"),
        ("GET", "/tenants/{tenant}/api/fails", "500"),
        ("GET", "/static", "200"),
        ("GET", "/plain", "200"),
    ]


def test_fastapi(sent):
    made = sent()
    app, router, inner = fastapi.FastAPI(), fastapi.APIRouter(prefix="/v1"), fastapi.APIRouter()
    sub = fastapi.FastAPI()
    app.add_middleware(BtMiddleware, producer=made.producer)

    @app.get("/orders/{order_id}")
    async def order(order_id: int):
        return order_id

    @router.get("/items/{item_id}")
    def item_of(item_id: str):
        return item_id

    @inner.get("/deep/{n}")
    def deep(n: int):
        raise fastapi.HTTPException(status_code=502)

    @sub.get("/things/{thing}")
    async def thing(thing: str):
        return thing

    router.include_router(inner, prefix="/inner")
    app.include_router(router, prefix="/api/{tenant}")
    app.mount("/sub/{shop}", sub)
    http = client(app)
    for path in ("/orders/1", "/orders/x", "/api/acme/v1/items/7", "/api/acme/v1/inner/deep/3", "/api/acme/v1/none"):
        http.get(path)
    http.post("/api/acme/v1/items/7")
    http.get("/sub/one/things/9")
    http.get("/openapi.json")
    assert requests(made) == [
        ("GET", "/orders/{order_id}", "200"),
        ("GET", "/orders/{order_id}", "422"),
        ("GET", "/api/{tenant}/v1/items/{item_id}", "200"),
        ("GET", "/api/{tenant}/v1/inner/deep/{n}", "502"),
        ("GET", "(unmatched)", "404"),
        ("POST", "/api/{tenant}/v1/items/{item_id}", "405"),
        ("GET", "/sub/{shop}/things/{thing}", "200"),
        ("GET", "/openapi.json", "200"),
    ]
    assert [error["error_type"] for error in errors(made)] == ["502"]


def test_behind_other_middleware(sent):
    made = sent()

    class Other(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            if request.url.path == "/orders/0":
                return PlainTextResponse("not you", 401)
            return await call_next(request)

    app = starlette(made.producer)
    app.add_middleware(Other)  # outside of it
    app = BtMiddleware(Other(app), producer=made.producer)
    http = client(app)
    http.get("/orders/1")
    http.get("/orders/0")
    assert requests(made) == [("GET", "/orders/{id:int}", "200"), ("GET", "/orders/{id:int}", "401")]


def test_excluded_routes(sent):
    made = sent()
    http = client(starlette(made.producer, exclude=["/healthz", "/orders/*"]), root_path="/proxy")
    for path in ("/healthz", "/orders/1", "/streams"):
        assert http.get("/proxy" + path).status_code == 200
    assert requests(made) == [("GET", "/streams", "200")]
    other = sent()
    client(starlette(other.producer, exclude="/orders/{id:int}")).get("/orders/1")
    assert requests(other) == []


def test_a_route_of_another_framework(sent):
    made = sent()

    async def app(scope, receive, send):
        scope["rule"] = "/any/<id>"
        await PlainTextResponse("x")(scope, receive, send)

    client(BtMiddleware(app, producer=made.producer, route=lambda scope: scope["rule"])).get("/any/1")
    client(BtMiddleware(app, producer=made.producer)).get("/any/1")
    client(BtMiddleware(app, producer=made.producer, route=lambda scope: 1 / 0)).get("/any/1")
    assert requests(made) == [("GET", "/any/<id>", "200"), ("GET", "(unmatched)", "200")]


def test_a_stream_is_measured_to_its_end_and_not_held_back(sent):
    made = sent()
    assert client(starlette(made.producer)).get("/streams").text == "0\n1\n2\n"
    [histogram] = [e for e in made.events() if e["kind"] == "histogram"]
    assert 0.15 <= histogram["value"] < 5


def test_websockets_pass(sent):
    made = sent()
    with client(starlette(made.producer)) as http, http.websocket_connect("/socket") as websocket:
        assert websocket.receive_text() == "hello"
    assert made.records == []


def test_what_is_queued_is_flushed_before_the_server_hears_of_the_shutdown(sent):
    made = sent()
    passed = []

    async def app(scope, receive, send):
        await send({"type": "lifespan.startup.complete"})
        made.producer.send_log("info", "the last words")
        passed.append(made.producer.stats().delivered)
        await send({"type": "lifespan.shutdown.complete"})

    async def send(message):
        passed.append((message["type"], made.producer.stats().delivered))

    made.client.poll = lambda timeout: time.sleep(timeout)  # only a flush delivers
    made.client.flush = lambda timeout: Client.poll(made.client, 0)
    asyncio.run(BtMiddleware(app, producer=made.producer)({"type": "lifespan"}, None, send))
    assert passed == [("lifespan.startup.complete", 0), 0, ("lifespan.shutdown.complete", 1)]


def serve(app, messages, sends=None):
    """One request to a bare application; the messages are what `receive` gives, one after the other."""
    waiting = list(messages)

    async def receive():
        return waiting.pop(0)

    async def send(message):
        if sends is not None:
            sends.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": []}
    asyncio.run(app(scope, receive, send))


GONE = {"type": "http.disconnect"}
START = {"type": "http.response.start", "status": 200, "headers": []}


def test_an_application_that_says_nothing(sent):
    made = sent()

    async def silent(scope, receive, send):
        await receive()

    serve(BtMiddleware(silent, producer=made.producer), [{"type": "http.request"}])
    serve(BtMiddleware(silent, producer=made.producer), [GONE])
    assert [status for _, _, status in requests(made)] == ["500", asgi.CLIENT_CLOSED]
    assert [error["error_type"] for error in errors(made)] == ["500"]


def test_a_client_that_left_is_no_error_of_the_server(sent):
    made = sent()

    class ClientDisconnect(Exception):  # Starlette's has this name
        pass

    async def cancelled(scope, receive, send):
        raise asyncio.CancelledError

    async def reading(scope, receive, send):
        await receive()
        raise ClientDisconnect

    async def writing(scope, receive, send):
        await send(START)
        await receive()
        raise OSError("connection closed")

    async def broken(scope, receive, send):
        await receive()
        raise ZeroDivisionError

    for app in (cancelled, reading, writing, broken):
        with pytest.raises((asyncio.CancelledError, ClientDisconnect, OSError, ZeroDivisionError)):
            serve(BtMiddleware(app, producer=made.producer), [GONE])
    assert [status for _, _, status in requests(made)] == ["499", "499", "200", "500"]
    assert [error["error_type"] for error in errors(made)] == ["ZeroDivisionError"]


def test_a_disconnect_after_the_response_is_the_usual_end(sent):
    made = sent()

    async def app(scope, receive, send):
        await send({**START, "status": 500})
        await send({"type": "http.response.body", "body": b"x"})
        await receive()

    serve(BtMiddleware(app, producer=made.producer), [GONE])
    assert requests(made) == [("GET", "(unmatched)", "500")]
    assert len(errors(made)) == 1


def test_nothing_of_the_sdk_fails_a_request(sent):
    class Broken:
        def send_metric(self, *args, **kwargs):
            raise RuntimeError

    assert client(starlette(Broken())).get("/orders/1").status_code == 200


def test_no_other_package_is_needed():
    run(
        """
        import sys
        for name in ("starlette", "fastapi", "opentelemetry", "opentelemetry.trace"):
            sys.modules[name] = None  # cannot be imported
        import logging
        import bt_events
        from bt_events.asgi import BtMiddleware
        producer = bt_events.EventProducer("orders", "a", config={"test.mock.num.brokers": 1})
        bt_events.install_logging(producer=producer)
        logging.getLogger("shop").warning("x")
        assert producer.flush(10) and producer.stats().delivered == 1, producer.stats()
        """
    )


def test_the_trace_is_the_exemplar(sent):
    from opentelemetry.sdk.trace import TracerProvider

    made = sent()
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        serve(BtMiddleware(PlainTextResponse("x"), producer=made.producer), [{"type": "http.request"}])
    [histogram] = [e for e in made.events() if e["kind"] == "histogram"]
    assert histogram["trace_id"] == f"{span.get_span_context().trace_id:032x}"


def test_in_a_real_server_with_clients_that_leave(sent):
    made = sent()

    async def endless(request):
        async def body():
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.01)

        return StreamingResponse(body())

    routes = [Route("/orders/{id:int}", item), Route("/endless", endless), Route("/fails", fails)]
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(starlette(made.producer, routes), log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        with httpx.Client(base_url=address, timeout=20) as http:
            for _ in range(3):
                assert http.get("/orders/1").status_code == 200
            assert http.get("/fails").status_code == 500
            with http.stream("GET", "/endless") as response:
                assert next(response.iter_bytes())
        deadline = time.monotonic() + 20
        while len(requests(made)) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        server.should_exit = True
        thread.join(20)
    assert sorted(requests(made)) == [
        ("GET", "/endless", "200"),
        ("GET", "/fails", "500"),
        *[("GET", "/orders/{id:int}", "200")] * 3,
    ]
    assert [error["error_type"] for error in errors(made)] == ["LookupError"]
