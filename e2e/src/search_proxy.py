"""HTTPS and a login in front of a search engine. /state/demand.json says which certificate is shown and who is let in, at each request:
{"certificate": "first", "logins": ["Basic user:password", "ApiKey id:key"]}."""

import base64
import http.client
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ENGINE = sys.argv[1]
DROPPED = {"host", "authorization", "connection", "transfer-encoding", "content-length"}


def demand():
    with open("/state/demand.json") as file:
        return json.load(file)


def header(login):
    scheme, _, secret = login.partition(" ")
    return f"{scheme} {base64.b64encode(secret.encode()).decode()}"


def context(certificate):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(f"/certificates/{certificate}.crt", f"/certificates/{certificate}.key")
    return made


class Handler(BaseHTTPRequestHandler):
    # HTTP/1.0: a connection for each request, so that each meets the certificate of now.
    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") not in map(header, demand()["logins"]):
            error = {"type": "security_exception", "reason": "these credentials are not known here"}
            return self.answer(401, {"Content-Type": "application/json"}, json.dumps({"error": error, "status": 401}).encode())
        engine = http.client.HTTPConnection(ENGINE, timeout=60)
        sent = {name: value for name, value in self.headers.items() if name.lower() not in DROPPED}
        engine.request(self.command, self.path, body or None, sent)
        response = engine.getresponse()
        answer = response.read()
        self.answer(response.status, {name: value for name, value in response.getheaders() if name.lower() not in DROPPED}, answer)
        engine.close()

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = forward


class Proxy(ThreadingHTTPServer):
    # In the connection's own thread: a handshake that goes wrong, or on and on, is that connection's affair.
    def finish_request(self, request, client_address):
        with context(demand()["certificate"]).wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request, client_address):
        print(f"{client_address}: {sys.exc_info()[1]}", flush=True)


Proxy(("", 8443), Handler).serve_forever()
