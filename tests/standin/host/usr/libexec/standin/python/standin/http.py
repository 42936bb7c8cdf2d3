"""HTTP for the stand-ins: the same application under mod_wsgi, and as a server of its own."""

import json
import socket
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Reply(Exception):
    """A reply; raised where that is shorter than returning it."""

    def __init__(self, status, body=None, headers=None):
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}

    def data(self):
        if self.body is None or isinstance(self.body, bytes):
            return self.body or b""
        return json.dumps(self.body).encode()


class Request:
    def __init__(self, method, target, headers, body):
        path, _, query = target.partition("?")
        self.method, self.path, self.headers, self.raw = method, urllib.parse.unquote(path), headers, body
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.parts = [part for part in self.path.split("/") if part]

    def header(self, name):
        return self.headers.get(name.lower(), "")

    def json(self):
        try:
            return json.loads(self.raw or b"{}")
        except ValueError:
            raise Reply(400, {"error": {"code": 400, "message": "the body is not JSON"}}) from None


def answer(application, request):
    """The reply of an application, which may also raise it; anything else that it raises is its fault."""
    try:
        return application(request)
    except Reply as reply:
        return reply
    except Exception as error:  # a service's own fault is a reply, too
        print(f"{request.method} {request.path}: {type(error).__name__}: {error}", flush=True)
        return Reply(500, {"error": {"code": 500, "message": f"{type(error).__name__}: {error}"}})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    application = None

    def answer(self):
        encoding = self.headers.get("Transfer-Encoding", "")
        body = self.chunks() if "chunked" in encoding else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = answer(self.application, Request(self.command, self.path, headers, body))
        data = reply.data()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "Content-Type" not in reply.headers and data:
            self.send_header("Content-Type", "application/json")
        if reply.status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer

    def chunks(self):
        data = b""
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            if not size:
                self.rfile.readline()
                return data
            data += self.rfile.read(size)
            self.rfile.readline()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def serve(application, address, port):
    """Answers on a port, in threads of its own."""
    handler = type("Bound", (Handler,), {"application": staticmethod(application)})
    server = Server((address, port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def listen(address, port):
    """Takes connections and says nothing: for what does not speak HTTP."""
    listener = socket.create_server((address, port), backlog=64)
    held = []

    def take():
        while True:
            held.append(listener.accept())
            del held[:-64]

    threading.Thread(target=take, daemon=True).start()


def wsgi(make):
    """An application for mod_wsgi; `make` gives ours, and is called at the first request."""
    made = []

    def application(environ, start_response):
        if not made:
            made.append(make())
        length = int(environ.get("CONTENT_LENGTH") or 0)
        headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
        target = environ.get("PATH_INFO", "/")
        if environ.get("QUERY_STRING"):
            target += "?" + environ["QUERY_STRING"]
        request = Request(environ["REQUEST_METHOD"], target, headers, environ["wsgi.input"].read(length))
        reply = answer(made[0], request)
        data = reply.data()
        lines = [(name, str(value)) for name, value in reply.headers.items()]
        if data and "Content-Type" not in reply.headers:
            lines.append(("Content-Type", "application/json"))
        if reply.status != 204:
            lines.append(("Content-Length", str(len(data))))
        start_response(f"{reply.status} Status", lines)
        return [data]

    return application
