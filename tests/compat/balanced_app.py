"""What runs behind the load-balancing endpoints of the tests: an application, a careless server, and their settings."""

APP = '''
import asyncio
import hashlib
import json
import os
from pathlib import Path

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

app = FastAPI()
ME = os.environ["RUNPOD_POD_ID"]
health = 200


async def opened(gate):
    """Wait until the test lets it go on."""
    while gate.startswith("gate-") and not (Path(os.environ["GATES"]) / gate).exists():
        await asyncio.sleep(0.01)
    return gate


@app.get("/ping")
async def ping():
    return Response(status_code=health)


@app.get("/ill")
async def ill():
    global health
    health = 500


@app.get("/who")
async def who():
    return PlainTextResponse(ME)


@app.get("/hold")
async def hold(gate: str):
    await opened(gate)
    return PlainTextResponse(ME)


@app.api_route("/echo/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def echo(request: Request):
    path, query = request.scope["raw_path"].decode(), request.url.query
    body = (await request.body()).decode()
    headers = dict(request.headers)
    return {"method": request.method, "path": path, "query": query, "body": body, "headers": headers, "worker": ME}


@app.get("/events")
async def events(gates: str):
    async def said():
        for gate in gates.split(","):
            yield f"data: {await opened(gate)}\\n\\n"

    return StreamingResponse(said(), media_type="text/event-stream")


@app.post("/upload")
async def upload(request: Request, back: bool = False):
    parts = [part async for part in request.stream()]
    if back:
        return StreamingResponse(iter(parts))
    body = b"".join(parts)
    return {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


@app.websocket("/chat")
async def chat(socket: WebSocket):
    await socket.accept("a" if "a" in socket.scope["subprotocols"] else None)
    while (message := await socket.receive())["type"] == "websocket.receive":
        if message.get("text") == "bye":
            await socket.close(4321, "so long")
            return
        await socket.send({**message, "type": "websocket.send"})


@app.get("/v1/models")
async def models():
    return {"object": "list", "data": [{"id": "tiny", "object": "model", "created": 0, "owned_by": "me"}]}


@app.post("/v1/chat/completions")
async def completions(body: dict):
    if body["model"] != "tiny":
        return JSONResponse({"error": {"message": "no such model", "type": "invalid_request_error"}}, 404)
    text = body["messages"][-1]["content"]
    common = {"id": "1", "created": 0, "model": "tiny"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}

    async def chunks():
        for word in text.split():
            choice = {"index": 0, "delta": {"content": await opened(word)}, "finish_reason": None}
            yield f"data: {json.dumps({**common, 'object': 'chat.completion.chunk', 'choices': [choice]})}\\n\\n"
        yield "data: [DONE]\\n\\n"

    if body.get("stream"):
        return StreamingResponse(chunks(), media_type="text/event-stream")
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {**common, "object": "chat.completion", "choices": [choice], "usage": usage}
'''

DROPPING = '''
"""Hangs up on /drop without an answer; /count says how often it was asked for that."""
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

dropped = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/drop":
            dropped.append(self.path)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = str(len(dropped)).encode() if self.path == "/count" else b"ok"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *arguments):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''

ENDPOINTS = """
[platform]
ping_interval = "50ms"
balancer_wait = "5s"

[endpoints]
web = { type = "load_balancer", handler = "app.py:app", workers_max = 1, idle_timeout = "1h" }
scaled = { type = "load_balancer", handler = "app.py:app", workers_max = 2, scaler_value = 20, idle_timeout = "1h" }
brief = { type = "load_balancer", handler = "app.py:app", workers_max = 1, idle_timeout = "300ms" }
kept = { type = "load_balancer", handler = "app.py:app", workers_max = 1, workers_min = 1 }
busy = { type = "load_balancer", handler = "app.py:app", workers_max = 2, scaler_value = 9, idle_timeout = "1h" }
dropping = { type = "load_balancer", command = "python dropping.py", idle_timeout = "1h" }
"""
