"""Runs a command of the client in this process, and stands in for a service that misbehaves."""

import contextlib
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from attend.cli import main


def command(url, name, *arguments):
    """Exit code, stdout and stderr of `attend NAME ARGUMENTS`."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            code = main([name, "--url", url, *map(str, arguments)])
        except SystemExit as exit:  # argparse
            code = exit.code
    return code, out.getvalue(), errors.getvalue()


class FakeService:
    """Answers POST /attend with `bodies`, one after the other and the last one again and again; after `most` requests
    it hangs up instead. `seen` are the bodies that came, `peers` the addresses that requests came from, one for each
    connection. `request_id` is what it calls each request, None as it is called itself, "" nothing. Use it in a `with`
    block."""

    INFO = {"name": "fake", "embed_dim": 2, "kdim": 2, "vdim": 2, "num_heads": 1, "layout": "torch"}

    def __init__(self, *bodies, most=10**9, timing="parse;dur=0.001"):
        self.bodies, self.most, self.timing = bodies, most, timing
        self.seen, self.peers, self.request_id = [], [], None

    def answer(self):
        n = len(self.seen) - 1
        return None if n >= self.most else self.bodies[min(n, len(self.bodies) - 1)]

    def __enter__(self):
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                service.peers.append(self.client_address)
                name = service.INFO["name"]
                listing = {"default": name, "models": [service.INFO]}
                self.reply(service.INFO if self.path == f"/models/{name}" else listing)

            def do_POST(self):
                service.peers.append(self.client_address)
                service.seen.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.reply(service.answer())

            def reply(self, document):
                if document is None:
                    self.close_connection = True
                    return
                body = json.dumps(document, separators=(",", ":")).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Server-Timing", service.timing)
                name = self.headers.get("X-Request-Id", "") if service.request_id is None else service.request_id
                if name:
                    self.send_header("X-Request-Id", name)
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
