"""What is said to a proxy, and what only looks like it."""

from __future__ import annotations

from runpod_emulator.plugin.addressee import destination

from tests.tables import table


@table(
    ("sent", "host"),
    [
        (b"CONNECT api.runpod.ai:443 HTTP/1.1\r\nHost: x\r\n\r\n", "api.runpod.ai"),
        (b"CONNECT api.runpod.ai:443 HTTP/1.0\r\n\r\n", "api.runpod.ai"),
        (b"GET http://api.runpod.ai/v2/llm/health?a=1 HTTP/1.1\r\n\r\n", "api.runpod.ai"),
        (b"POST https://key:word@rest.runpod.io:8443/x HTTP/1.1\r\n\r\n", "rest.runpod.io"),
        (b"GET http://api.runpod.ai?x HTTP/1.1\r\n\r\n", "api.runpod.ai"),
        (b"\5\1\0\3\x0dapi.runpod.ai\1\xbb", "api.runpod.ai"),
        (b"\5\3\0\3\x0dapi.runpod.ai\1\xbb", "api.runpod.ai"),
        (b"\0\0\0\3\x0dapi.runpod.ai\1\xbbdata", "api.runpod.ai"),
        (b"\4\1\1\xbb\0\0\0\1\0api.runpod.ai\0", "api.runpod.ai"),
        (b"\4\1\1\xbb\0\0\0\7me\0api.runpod.ai\0", "api.runpod.ai"),
        (b"GET /v2/llm/health HTTP/1.1\r\nHost: api.runpod.ai\r\n\r\n", None),
        (b"GET /?to=http://api.runpod.ai/ HTTP/1.1\r\n\r\n", None),
        (b"GET http://api.runpod.ai/ was called", None),
        (b'{"a": "CONNECT api.runpod.ai:443 HTTP/1.1"}', None),
        (b"HTTP/1.1 200 OK\r\n\r\n", None),
        (b"\5\1\0", None),
        (b"\5\1\0\1\x7f\0\0\1\1\xbb", None),
        (b"\4\1\1\xbb\x7f\0\0\1\0", None),
        (b"\0\0\0\x10", None),
        (b"", None),
    ],
)
def test_destination(sent: bytes, host: str | None):
    assert destination(sent) == host
