"""An editor that debugs: a client of the Debug Adapter Protocol, as small as can be. No wait is longer than LIMIT."""

from __future__ import annotations

import itertools
import json
import socket
from pathlib import Path
from typing import Any

from tests.compat.servers import LIMIT


class Editor:
    """Attached to debugpy on a port, with one breakpoint."""

    def __init__(self, port: int, file: Path, line: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), LIMIT)
        self._stream = self._socket.makefile("rb")
        self._numbers = itertools.count(1)
        self._events: list[dict[str, Any]] = []
        self.ask("initialize", adapterID="test", pathFormat="path", linesStartAt1=True)
        attached = self._send("attach", justMyCode=True)
        self.event("initialized")
        found = self.ask("setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line}])
        assert found["breakpoints"][0]["verified"]
        self.ask("configurationDone")
        self._answer(attached)

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a request, which must succeed."""
        return self._answer(self._send(command, **arguments))

    def event(self, name: str) -> dict[str, Any]:
        """The next event of this name."""
        while True:
            found = next((event for event in self._events if event["event"] == name), None)
            if found is not None:
                self._events.remove(found)
                return dict(found.get("body") or {})
            self._receive()

    def stopped(self) -> tuple[int, dict[str, Any]]:
        """The thread that has stopped at the breakpoint, and its topmost frame."""
        thread = int(self.event("stopped")["threadId"])
        return thread, self.ask("stackTrace", threadId=thread)["stackFrames"][0]

    def variable(self, frame: dict[str, Any], name: str) -> str:
        """A local variable, as an editor shows it."""
        scope = self.ask("scopes", frameId=frame["id"])["scopes"][0]["variablesReference"]
        variables = self.ask("variables", variablesReference=scope)["variables"]
        return str(next(one["value"] for one in variables if one["name"] == name))

    def close(self) -> None:
        """Leave."""
        self._stream.close()
        self._socket.close()

    def _send(self, command: str, **arguments: Any) -> int:
        number = next(self._numbers)
        request = {"seq": number, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(request).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return number

    def _answer(self, number: int) -> dict[str, Any]:
        while True:
            message = self._receive()
            if message["type"] == "response" and message["request_seq"] == number:
                assert message["success"], message
                return dict(message.get("body") or {})

    def _receive(self) -> dict[str, Any]:
        length = 0
        while line := self._stream.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name == b"Content-Length" else length
        assert length, "the debugger has gone"
        message: dict[str, Any] = json.loads(self._stream.read(length))
        if message["type"] == "event":
            self._events.append(message)
        return message
