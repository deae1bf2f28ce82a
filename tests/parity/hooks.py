"""A receiver of webhooks that keeps each body as it came."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hooks:
    """Bodies by the path that they came to."""

    def __init__(self) -> None:
        self.bodies: defaultdict[str, list[str]] = defaultdict(list)
        keeping = self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                keeping.bodies[self.path].append(body.decode("utf-8", "backslashreplace"))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Receive no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def hooks() -> Iterator[Hooks]:
    """A receiver, while it is needed."""
    receiving = Hooks()
    try:
        yield receiving
    finally:
        receiving.close()
