"""A load balancer for tests: each request, of whatever connection, goes to the next server."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.compat.servers import LIMIT

_NOT_PASSED_ON = ("connection", "transfer-encoding", "content-length", "server", "date")


class InTurn:
    """Passes requests on to the servers of these URLs, and remembers which verb went where."""

    def __init__(self, urls: Sequence[str]) -> None:
        turns = itertools.cycle(range(len(urls)))
        lock = threading.Lock()
        places = [urlsplit(url).netloc for url in urls]
        self.seen: set[tuple[str, int]] = set()
        """Verbs, as `job-take`, and numbers of servers."""
        seen = self.seen

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                with lock:
                    number = next(turns)
                    seen.add((self.path.split("/")[3].partition("?")[0], number))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PASSED_ON}
                server = http.client.HTTPConnection(places[number], timeout=LIMIT)
                with contextlib.closing(server), contextlib.suppress(OSError):  # the caller has left
                    server.request(self.command, self.path, body or None, headers)
                    answer = server.getresponse()
                    text = answer.read()
                    self.send_response(answer.status)
                    for name, value in answer.getheaders():
                        if name.lower() not in _NOT_PASSED_ON:
                            self.send_header(name, value)
                    self.send_header("content-length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def spread(self, verb: str, fewest: int) -> bool:
        """Whether calls of a verb have gone to so many servers."""
        return len({number for seen, number in self.seen.copy() if seen == verb}) >= fewest

    def close(self) -> None:
        """Pass nothing on any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(LIMIT)


@contextlib.contextmanager
def in_turn(urls: Sequence[str]) -> Iterator[InTurn]:
    """Such a load balancer, for a while."""
    balancer = InTurn(urls)
    try:
        yield balancer
    finally:
        balancer.close()
