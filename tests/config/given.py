"""What a user gives a server: words of the command line, variables and a file; and samples of every option."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from runpod_emulator.cli.serve import serve
from runpod_emulator.config.file import NAME
from runpod_emulator.config.options import EndpointOptions, GivenOptions, all_options, flag, variable
from runpod_emulator.config.plans import Plan, plan_all
from runpod_emulator.config.settings import Settings, read_settings
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.settings import Span

from tests.tables import table

ENDPOINT_OPTIONS = list(EndpointOptions.model_fields)
SERVER_KEYS = [name for name in all_options() if name not in ("config", "no_config")]


def write(folder: Path, *names: str) -> None:
    """Empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def build(app: Path, **resources: dict[str, Any]) -> Path:
    """What `flash build` leaves of an app with these resources: the manifest, and a program for each."""
    left = app / ".flash" / ".build"
    left.mkdir(parents=True, exist_ok=True)
    write(left, *(f"handler_{name}.py" for name in resources))
    manifest = left / "flash_manifest.json"
    manifest.write_text(json.dumps({"project_name": app.name, "resources": resources}))
    return manifest


def configure(text: str, path: str = NAME) -> None:
    """A configuration file."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(textwrap.dedent(text))


def settings_for(*words: str) -> Settings:
    """Settings that the command line `serve WORDS` makes."""
    given = serve.make_context("serve", list(words)).params
    return read_settings(
        **{
            name: list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
            if value not in (None, ())
        }
    )


def use(settings: Settings) -> None:
    """What a start makes of settings."""
    settings.platform()
    settings.services()
    plan_all(settings)
    assert settings.images


def refusal(*words: str, **given: Any) -> str:
    """Why settings are refused, when they are read or used."""
    with pytest.raises(ConfigurationError) as caught:
        use(settings_for(*words) if words else read_settings(**given))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refused_file(text: str) -> str:
    """Why a configuration file is refused."""
    configure(text)
    return refusal()


def plans(*words: str) -> dict[str, Plan]:
    """What would be served, by endpoint."""
    return {plan.settings.id: plan for plan in plan_all(settings_for(*words))}


class Sample(NamedTuple):
    """One value of an option: words of the command line, a variable, a value in TOML, and what they mean."""

    words: tuple[str, ...]
    variable: str
    key: str
    value: Any


def _text(name: str, text: str, value: Any = None, key: str = "") -> Sample:
    return Sample((flag(name), text), text, key or json.dumps(text), text if value is None else value)


def _number(name: str, number: float) -> Sample:
    return _text(name, str(number), number, str(number))


def _list(name: str, *entries: str) -> Sample:
    words = tuple(word for entry in entries for word in (flag(name), entry))
    return Sample(words, json.dumps(entries), json.dumps(entries), list(entries))


def _switch(name: str, on: bool) -> Sample:
    text = str(on).lower()
    return Sample((flag(name),) if on else (), text, text, on)


SAMPLES: dict[str, tuple[Sample, Sample]] = {
    "handlers": (
        Sample(("h.py",), '["h.py"]', '["h.py"]', ["h.py"]),
        Sample(("i.py", "j.py"), '["i.py", "j.py"]', '["i.py", "j.py"]', ["i.py", "j.py"]),
    ),
    "endpoint": (_list("endpoint", "x=h.py", "y"), _list("endpoint", "z=i.py")),
    "command": (_list("command", "c=python -u h.py"), _list("command", "d=sh run.sh", "e=true")),
    "flash": (
        _list("flash", "shop", "lab")._replace(value=[Path("shop"), Path("lab")]),
        _list("flash", "shop")._replace(value=[Path("shop")]),
    ),
    "app": (_list("app", "a.py", "pkg.mod:app"), _list("app", "lab")),
    "mock": (_list("mock", "m", "n"), _list("mock", "o")),
    "openai": (_list("openai", "p", "q"), _list("openai", "r")),
    "load_balancer": (_list("load_balancer", "l=h.py:app"), _list("load_balancer", "k=i.py:app", "n=node s.js")),
    "stubs": (
        _list("stubs", "s.yaml", "t.yaml")._replace(value=[Path("s.yaml"), Path("t.yaml")]),
        _list("stubs", "s.yaml")._replace(value=[Path("s.yaml")]),
    ),
    "fault_profile": (_list("fault_profile", "flaky-network", "cold-fleet"), _list("fault_profile", "rate-limited")),
    "clock": (_text("clock", "virtual"), _text("clock", "auto")),
    "namespaces": (_text("namespaces", "key"), _text("namespaces", "header")),
    "max_namespaces": (_number("max_namespaces", 3), _number("max_namespaces", 20)),
    "keep_bytes": (_number("keep_bytes", 1_000_000), _number("keep_bytes", 5)),
    "admin_key": (_list("admin_key", "one", "two"), _list("admin_key", "three")),
    "host": (_text("host", "0.0.0.0"), _text("host", "::1")),
    "allowed_host": (_list("allowed_host", "emulator.test", "*.emulator.test"), _list("allowed_host", "10.0.0.5")),
    "port": (_number("port", 9000), _number("port", 0)),
    "port_file": (_text("port_file", "port.txt", Path("port.txt")), _text("port_file", "p", Path("p"))),
    "state": (_text("state", "state.json", Path("state.json")), _text("state", "s", Path("s"))),
    "keep_alive": (_text("keep_alive", "75s", 75_000), _number("keep_alive", 5_000)),
    "tls": (_switch("tls", True), _switch("tls", False)),
    "tls_port": (_number("tls_port", 9443), _number("tls_port", 0)),
    "tls_folder": (_text("tls_folder", "tls", Path("tls")), _text("tls_folder", "ca", Path("ca"))),
    "tls_name": (_list("tls_name", "emulator.test", "*.emulator.test"), _list("tls_name", "10.0.0.5")),
    "proxy": (_number("proxy", 8899), _number("proxy", 0)),
    "proxy_host": (_list("proxy_host", "runpod.test", "*.runpod.test"), _list("proxy_host", "dev-api.runpod.ai")),
    "proxy_pass": (_switch("proxy_pass", True), _switch("proxy_pass", False)),
    "profile": (_text("profile", "documented"), _text("profile", "observed")),
    "set": (_list("set", "run_retention=5", "id_suffix=-x"), _list("set", "run_retention=6")),
    "api_key": (_list("api_key", "one", "two"), _list("api_key", "three")),
    "worker_key": (_list("worker_key", "one", "two"), _list("worker_key", "three")),
    "webhook_allow": (_list("webhook_allow", "10.0.0.0/8", "fd00::/8"), _list("webhook_allow", "10.0.0.5")),
    "webhook_deny": (_list("webhook_deny", "127.0.0.0/8", "::1"), _list("webhook_deny", "10.0.0.5")),
    "no_auth": (_switch("no_auth", True), _switch("no_auth", False)),
    "no_rate_limits": (_switch("no_rate_limits", True), _switch("no_rate_limits", False)),
    "max_processes": (_number("max_processes", 4), _number("max_processes", 5)),
    "reload": (_switch("reload", True), _switch("reload", False)),
    "debug": (_number("debug", 5678), _number("debug", 7000)),
    "seed": (_number("seed", 7), _number("seed", 8)),
    "store": (_text("store", "redis://127.0.0.1:6379/0"), _text("store", "valkeys://user:word@h:1/2?prefix=p")),
    "otel": (_text("otel", "http://localhost:4318"), _text("otel", "http://c:1/v1/traces")),
    "log_level": (_text("log_level", "debug"), _text("log_level", "error")),
    "log_requests": (_text("log_requests", "all"), _text("log_requests", "none")),
    "log_format": (_text("log_format", "json"), _text("log_format", "text")),
    "log_file": (_text("log_file", "a.log", Path("a.log")), _text("log_file", "b", Path("b"))),
    "config": (_text("config", "one.toml", Path("one.toml")), _text("config", "two.toml", Path("two.toml"))),
    "no_config": (_switch("no_config", True), _switch("no_config", False)),
    "workers_min": (_number("workers_min", 1), _number("workers_min", 2)),
    "workers_max": (_number("workers_max", 5), _number("workers_max", 6)),
    "batch_workers_max": (_number("batch_workers_max", 2), _number("batch_workers_max", 4)),
    "idle_timeout": (_text("idle_timeout", "7s", 7_000), _number("idle_timeout", 8_000)),
    "scaler": (_text("scaler", "QUEUE_DELAY"), _text("scaler", "REQUEST_COUNT")),
    "scaler_value": (_number("scaler_value", 2.0), _number("scaler_value", 3.0)),
    "worker_capacity": (_number("worker_capacity", 4), _number("worker_capacity", 5)),
    "execution_timeout": (_text("execution_timeout", "10m", 600_000), _number("execution_timeout", 30_000)),
    "job_ttl": (_text("job_ttl", "1h", 3_600_000), _number("job_ttl", 20_000)),
    "init_timeout": (_text("init_timeout", "30s", 30_000), _number("init_timeout", 0)),
    "cold_start": (
        _text("cold_start", "1s-3s seed 7", Span(1_000, 3_000, 7)),
        _text("cold_start", "2000", Span(2_000, 2_000), "2000"),
    ),
    "throttle": (_text("throttle", "1s", Span(1_000, 1_000)), _text("throttle", "5ms-10ms", Span(5, 10))),
    "concurrency": (_number("concurrency", 2), _number("concurrency", 3)),
    "stop_grace": (_text("stop_grace", "30s", 30_000), _number("stop_grace", 0)),
    "environment": (
        Sample(
            ("--environment", "A=1", "--environment", "B=x=y"),
            '{"A": "1", "B": "x=y"}',
            '{ A = "1", B = "x=y" }',
            {"A": "1", "B": "x=y"},
        ),
        Sample(("--environment", "C="), '["C="]', '{ C = "" }', {"C": ""}),
    ),
    "isolate": (_text("isolate", "network"), _text("isolate", "none")),
    "volume": (_text("volume", "one", Path("one")), _text("volume", "two", Path("two"))),
    "directory": (_text("directory", "one", Path("one")), _text("directory", "two", Path("two"))),
    "openai_model": (_list("openai_model", "tiny", "org/big"), _list("openai_model", "other")),
    "openai_text": (_text("openai_text", "echo"), _text("openai_text", "lorem")),
    "ttft": (
        _text("ttft", "100ms-300ms seed 7", Span(100, 300, 7)),
        _text("ttft", "200", Span(200, 200), "200"),
    ),
    "tokens_per_second": (_number("tokens_per_second", 40.0), _number("tokens_per_second", 12.5)),
    "jitter": (_number("jitter", 0.2), _number("jitter", 1.0)),
    "load_factor": (_number("load_factor", 0.1), _number("load_factor", 2.0)),
    "max_model_len": (_number("max_model_len", 4_096), _number("max_model_len", 1)),
    "sdk_rules": (_text("sdk_rules", "1.12"), _text("sdk_rules", "2.0")),
    "python": (_text("python", "/usr/bin/python3"), _text("python", "python3")),
}
"""Two values of every option; the first is not the default."""


def each_option(names: list[str]) -> Any:
    """A row `name` for each option."""
    return table("name", names)


def furnish(folder: Path) -> None:
    """Everything that the samples name."""
    write(folder, "a.py", "h.py", "i.py", "j.py", "one.toml", "two.toml", "s.yaml", "t.yaml", "one/h.py", "two/h.py")
    build(folder / "shop", adder={})
    build(folder / "lab", greeter={})


def give(name: str, layers: Mapping[str, Sample], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings in which some of the layers `flag`, `variable`, `endpoint` and `server` tell an option."""
    tables = ["[server]", "", "[endpoints.a]", 'command = "true"' if name == "isolate" else 'handler = "h.py"', ""]
    if name == "worker_capacity":
        tables[3:] = ['handler = "h.py:app"', "", 'type = "load_balancer"']
    if "server" in layers:
        tables[1] = f"{name} = {layers['server'].key}"
    if "endpoint" in layers:
        tables[4] = f"{name} = {layers['endpoint'].key}"
    configure("\n".join(tables))
    if "variable" in layers:
        monkeypatch.setenv(variable(name), layers["variable"].variable)
    return settings_for(*layers["flag"].words if "flag" in layers else ())


def origin(name: str, layer: str) -> str:
    """What `give` makes the origin of an option."""
    return {
        "flag": flag(name),
        "variable": variable(name),
        "endpoint": "runpod-emulator.toml:5",
        "server": "runpod-emulator.toml:2",
        "default": "default",
    }[layer]


assert set(SAMPLES) == set(GivenOptions.model_fields), "give a new option two samples"
