"""Every option there is. Flags, environment variables, keys of the configuration file and the README's table
all follow from these two models."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from runpod_emulator.values import Duration, Exact, HostName, Milliseconds, NetworkText, Variables

PREFIX = "RUNPOD_EMULATOR_"
"""Of every environment variable that is an option."""


def _no_empty_key(keys: list[str]) -> list[str]:
    if "" in keys:
        raise ValueError("an empty key is none: give one, or leave the option out")
    return keys


_Keys = Annotated[list[str], AfterValidator(_no_empty_key)]


def _path(given: Any) -> Any:
    if given == "":
        raise ValueError("an empty path names nothing")
    return Path(given) if isinstance(given, str) else given


_File = Annotated[Path, BeforeValidator(_path)]


def _option(default: Any, text: str, form: str = "", *, shown: str = "", **limits: Any) -> Any:
    """An option: its default, its help `text`, the `form` of its value, and what the help shows as its default."""
    return Field(default, description=text, json_schema_extra={"form": form, "shown": shown}, **limits)


class EndpointOptions(Exact):
    """What may be told of one endpoint, in its table, or of all of them."""

    model_config = ConfigDict(extra="forbid")

    workers_min: int | None = _option(None, "Workers that are always on.", shown="0", ge=0)
    workers_max: int | None = _option(None, "Workers that there may be.", shown="3", ge=0)
    batch_workers_max: int | None = _option(
        None, "Workers that the requests of batches may have, beside those.", shown="as workers-max", ge=0
    )
    idle_timeout: Milliseconds | None = _option(None, "Life of an idle worker.", "TIME", shown="5s", ge=1)
    scaler: Literal["REQUEST_COUNT", "QUEUE_DELAY"] | None = _option(
        None, "What brings up another worker.", shown="REQUEST_COUNT"
    )
    scaler_value: float | None = _option(
        None,
        "Jobs for each worker (REQUEST_COUNT), or seconds that a job may wait (QUEUE_DELAY).",
        shown="1, or 4",
        gt=0,
        allow_inf_nan=False,
    )
    worker_capacity: int | None = _option(
        None, "Requests in flight that a load-balancing worker takes at most.", shown="no limit", ge=1
    )
    execution_timeout: Milliseconds | None = _option(
        None, "Longest run of a job: 600000 (ms), 600s, 10m; 0 is none.", "TIME", shown="600s", ge=0
    )
    job_ttl: Milliseconds | None = _option(None, "Life of a job from its submission.", "TIME", shown="24h", ge=0)
    init_timeout: Milliseconds | None = _option(
        None, "Longest start of a worker; 0 is none. RUNPOD_INIT_TIMEOUT (s) among its variables goes before it.",
        "TIME", shown="7m", ge=0,
    )  # fmt: skip
    cold_start: Duration | None = _option(
        None,
        "Simulated start of a container before each worker: 2s, a range 1s-3s, or 1s-3s seed 7.",
        "SPAN",
        shown="0",
    )
    throttle: Duration | None = _option(
        None, "Simulated wait for a machine before each worker, in the form of a cold start.", "SPAN", shown="0"
    )
    concurrency: int | None = _option(
        None, "Jobs at once in a worker whose handler has no concurrency_modifier.", shown="1", ge=1
    )
    stop_grace: Milliseconds = _option(
        10_000,
        "Time from SIGTERM to SIGKILL of a worker that leaves and that nobody waits for: idle, refreshed or outdated.",
        "TIME",
        shown="10s",
        ge=0,
    )
    environment: Variables = _option(
        {},
        "A variable for the workers, in which {port}, {port2} and {worker} are each worker's own (repeatable).",
        "NAME=VALUE",
        repr=False,
    )
    isolate: Literal["none", "network"] = _option(
        "none",
        "What each worker of a command has for itself: network is one where every port is free (Linux).",
    )
    volume: _File | None = _option(
        None,
        "Network volume: a folder that is /runpod-volume where that can be made, and in RUNPOD_VOLUME_PATH.",
        "FOLDER",
    )
    directory: _File | None = _option(None, "Working directory of the workers.", "FOLDER", shown="this one")
    python: str = _option(sys.executable, "Interpreter that runs the handlers.", "PATH", shown="this one", min_length=1)
    openai_model: list[str] = _option(
        [], "The model of --openai answers to this name alone (repeatable).", "NAME", shown="any name"
    )
    openai_text: Literal["lorem", "echo"] = _option(
        "lorem", "What the model of --openai says: made-up words, or the last user message."
    )
    ttft: Duration | None = _option(
        None, "Time to the first token of the model of --openai: 200ms, a range 100ms-300ms.", "SPAN", shown="0"
    )
    tokens_per_second: float | None = _option(
        None, "Tokens that it says in a second.", shown="all at once", gt=0, allow_inf_nan=False
    )
    jitter: float = _option(0.0, "How much longer or shorter each of its waits may be, from 0 to 1.", ge=0, le=1)
    load_factor: float = _option(
        0.0, "How much longer each is for every other request in flight: at 0.1, ten double it.", ge=0, le=1_000
    )
    max_model_len: int = _option(131_072, "Tokens that it takes: of a request and its answer.", ge=1)
    sdk_rules: Literal["1.12", "2.0"] | None = _option(
        None,
        "Whose rules worker processes keep: those of this version of runpod.",
        shown="those of the installed runpod, or the newest",
    )


class ServerOptions(EndpointOptions):
    """What a server may be told."""

    handlers: list[str] = _option([], "Handlers to serve under their own names, as of the command serve.", "HANDLER")
    endpoint: list[str] = _option(
        [], "Serve HANDLER as endpoint ID; ID alone waits for workers started elsewhere (repeatable).", "ID=HANDLER"
    )
    command: list[str] = _option(
        [],
        "Serve endpoint ID by a program that speaks the worker protocol, as in ID='python -u handler.py' (repeatable).",
        "ID=COMMAND",
    )
    flash: list[_File] = _option(
        [], "Serve the functions of a Flash app, from what 'flash build' left in its folder (repeatable).", "FOLDER"
    )
    app: list[str] = _option(
        [],
        "Serve the functions and APIs of an app of runpod 2.0 from its source: package.module:app, file.py, "
        "file.py:app or a folder (repeatable).",
        "SOURCE",
    )
    mock: list[str] = _option([], "Serve endpoint ID by stubs alone (repeatable).", "ID")
    openai: list[str] = _option(
        [],
        "Serve endpoint ID by a model that is none: it answers OpenAI's API, and stubs that fit go before it "
        "(repeatable).",
        "ID",
    )
    load_balancer: list[str] = _option(
        [],
        "Serve load-balancing endpoint ID by an HTTP server: an ASGI application file.py:app, or a command "
        "that listens on $PORT (repeatable).",
        "ID=SERVER",
    )
    stubs: list[_File] = _option([], "Stubs and faults: a YAML or JSON file, or a folder (repeatable).", "FILE")
    fault_profile: list[str] = _option([], "Faults of a named profile (repeatable).", "NAME")
    clock: Literal["real", "virtual", "auto"] | None = _option(
        None,
        "Time: virtual stands still until the admin API moves it, auto leaves out what nobody needs.",
        shown="auto where only stubs serve, or a model without a pace, else real",
    )
    store: str | None = _option(
        None,
        "Keep jobs on a Valkey or Redis server, as redis://host:6379/0, where other emulators share them; "
        "needs `runpod-emulator[redis]`.",
        "URL",
        shown="in memory",
        repr=False,
    )
    namespaces: Literal["header", "key"] = _option(
        "header", "What chooses a world of its own: the header X-Emulator-Namespace, or the key of a client too."
    )
    max_namespaces: int = _option(
        10_000, "Namespaces at once; one more takes the place of the longest unused without unfinished jobs.", ge=1
    )
    keep_bytes: int = _option(
        64 << 20,
        "Memory for each list of what happened in a namespace (requests, lines, webhook calls, histories): the last "
        "are kept.",
        shown="64 MiB",
        ge=1,
    )
    admin_key: _Keys = _option(
        [], "Open the admin API to this key, from anywhere (repeatable).", "KEY", shown="this machine only", repr=False
    )
    host: str = _option("127.0.0.1", "Address to listen on.", min_length=1)
    allowed_host: list[HostName] = _option(
        [], "The admin API may be called by this name too, of which *.NAME is all below it (repeatable).", "NAME"
    )
    port: int = _option(8000, "Port to listen on; 0 takes a free one.", ge=0, le=65_535)
    port_file: _File | None = _option(None, "Write the port there once everything is ready.", "FILE")
    state: _File | None = _option(
        None, "Keep jobs, queues and stubs there for the next start: written each minute, and at the end.", "FILE"
    )
    keep_alive: Milliseconds = _option(
        120_000,
        "Life of an idle connection: longer than any client keeps it, or a client that blocks loses what it sends.",
        "TIME",
        shown="120s",
        ge=1,
    )
    tls: bool = _option(False, "Serve HTTPS too, with a certificate of a local CA that clients can trust.")
    tls_port: int = _option(8443, "Port for HTTPS; 0 takes a free one.", ge=0, le=65_535)
    tls_folder: _File | None = _option(
        None, "Where the local CA is kept.", "FOLDER", shown="runpod-emulator/tls in the user's configuration folder"
    )
    tls_name: list[str] = _option([], "The certificate is for this name or address too (repeatable).", "NAME")
    proxy: int | None = _option(
        None,
        "Port of a proxy by which https://api.runpod.ai leads to the emulator; 0 takes a free one, alone it is 8899.",
        "PORT",
        ge=0,
        le=65_535,
    )
    proxy_host: list[HostName] = _option(
        [], "The proxy takes this host to the emulator too, or with *.NAME all one label below (repeatable).", "NAME"
    )
    proxy_pass: bool = _option(False, "Let the proxy pass on what is for any other host, where it would refuse that.")
    profile: Literal["observed", "documented"] = _option("observed", "Which reading of the service.")
    set: list[str] = _option([], "Change one field of 'runpod-emulator fields' (repeatable).", "FIELD=VALUE")
    api_key: _Keys = _option([], "Accept only this key (repeatable).", "KEY", shown="any key", repr=False)
    worker_key: _Keys = _option(
        [],
        "Accept only workers with this key (repeatable).",
        "KEY",
        shown="any key, or with --api-key one of this run: see worker-env",
        repr=False,
    )
    webhook_allow: list[NetworkText] = _option(
        [], "Call webhooks in this network only, such as 10.0.0.0/8 or an address (repeatable).", "NETWORK",
        shown="everywhere",
    )  # fmt: skip
    webhook_deny: list[NetworkText] = _option(
        [], "Call no webhook in this network, also where another one is allowed (repeatable).", "NETWORK", shown="none"
    )
    no_auth: bool = _option(False, "Ask for no key.")
    no_rate_limits: bool = _option(False, "Never answer 429.")
    max_processes: int | None = _option(
        None,
        "Workers that may have a process at once; one more is throttled.",
        shown="one an endpoint, and 2 x cores",
        ge=1,
    )
    reload: bool = _option(False, "Bring changed code into use at once.")
    debug: int | None = _option(
        None,
        "Let an editor attach to the handlers' workers on this port (debugpy): one worker an endpoint, of which each "
        "has a port of its own from this one on, and no time limits.",
        "PORT",
        ge=1,
        le=65_535,
    )
    seed: int | None = _option(
        None, "Decides ids, cold starts, stubs and faults: the same seed, the same run.", shown="a new one"
    )
    otel: str | None = _option(
        None,
        "Send a trace of each job there by OTLP over HTTP, as http://localhost:4318; needs `runpod-emulator[otel]`.",
        "URL",
        shown="OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    log_level: Literal["debug", "info", "warning", "error"] = _option("info", "What the log shows.")
    log_requests: Literal["all", "errors", "none"] | None = _option(
        None, "Which requests have a line in the log.", shown="all with --reload and on a terminal, else errors"
    )
    log_format: Literal["text", "json"] = _option("text", "What a line of the log is: text for people, or an object.")
    log_file: _File | None = _option(None, "Append the log to this file too.", "FILE")


class GivenOptions(ServerOptions):
    """What flags and environment variables may tell."""

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, given: Any) -> Any:
        """What is empty counts as not given, as in `--host "$HOST"` where there is no HOST; but for lists of keys."""
        if not isinstance(given, Mapping):
            return given
        return {name: value for name, value in given.items() if not _is_empty(name, value)}

    config: _File | None = _option(None, "Configuration file.", "FILE", shown="runpod-emulator.toml here or above")
    no_config: bool = _option(False, "Read no configuration file.")


def _is_empty(name: str, value: Any) -> bool:
    known = GivenOptions.model_fields.get(name)
    if known is None or _no_empty_key in [getattr(one, "func", None) for one in known.metadata]:
        return False
    return value == "" or (isinstance(value, list) and value != [] and not any(value))


def all_options() -> dict[str, FieldInfo]:
    """Every option by name: the server's own first, then those of endpoints."""
    of_endpoints = EndpointOptions.model_fields
    own = {name: field for name, field in GivenOptions.model_fields.items() if name not in of_endpoints}
    return own | of_endpoints


def form(field: FieldInfo) -> str:
    """How an option's value is written, empty where its type says it."""
    return str(_extra(field)["form"])


def kind(field: FieldInfo) -> str:
    """What an option's value is in a word, or the words it may be."""
    (bare,) = [part for part in get_args(field.annotation) if part is not type(None)][:1] or [field.annotation]
    if get_origin(field.annotation) is Literal or get_origin(bare) is Literal:
        return " or ".join(f"`{word}`" for word in get_args(bare) or get_args(field.annotation))
    return {int: "a number", float: "a number", bool: "a flag"}.get(bare, "a text")


def default_text(field: FieldInfo) -> str:
    """An option's default in words, empty where there is none to speak of."""
    return str(_extra(field)["shown"]) or ("" if field.default in (None, False, [], {}) else str(field.default))


def _extra(field: FieldInfo) -> dict[str, Any]:
    assert isinstance(field.json_schema_extra, dict)
    return field.json_schema_extra


def flag(name: str) -> str:
    """The command line's name of an option; handlers are words of it."""
    return "HANDLER..." if name == "handlers" else "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """The environment's name of an option."""
    return PREFIX + name.upper()
