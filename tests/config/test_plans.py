"""What becomes of each endpoint: how its options reach it, and what contradicts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.config.plans import Plan, clock_of, plan_all
from runpod_emulator.core.platform import DAY, Platform
from runpod_emulator.core.settings import Span

from tests.config.given import (
    ENDPOINT_OPTIONS,
    SAMPLES,
    configure,
    furnish,
    give,
    plans,
    refusal,
    refused_file,
    settings_for,
    write,
)
from tests.tables import table


@pytest.fixture(autouse=True)
def furnished(folder: Path) -> Path:
    """A folder with everything that the samples name."""
    furnish(folder)
    return folder


# Every option reaches its endpoint

REACHES: dict[str, Callable[[Plan], Any]] = {
    "workers_min": lambda plan: plan.settings.workers_min,
    "workers_max": lambda plan: plan.settings.workers_max,
    "batch_workers_max": lambda plan: plan.settings.batch_workers_max,
    "idle_timeout": lambda plan: plan.settings.idle_timeout,
    "scaler": lambda plan: plan.settings.scaler,
    "scaler_value": lambda plan: plan.settings.scaler_requests,
    "worker_capacity": lambda plan: plan.settings.worker_capacity,
    "execution_timeout": lambda plan: plan.settings.execution_timeout,
    "job_ttl": lambda plan: plan.settings.job_ttl,
    "init_timeout": lambda plan: plan.settings.init_timeout,
    "cold_start": lambda plan: plan.settings.cold_start,
    "throttle": lambda plan: plan.settings.throttle,
    "concurrency": lambda plan: plan.concurrency,
    "stop_grace": lambda plan: round(plan.stop_grace * 1000),
    "environment": lambda plan: plan.environment,
    "isolate": lambda plan: "network" if plan.isolated else "none",
    "volume": lambda plan: Path(os.path.relpath(plan.volume or "nowhere")),
    "directory": lambda plan: Path(os.path.relpath(plan.directory or "nowhere")),
    "python": lambda plan: plan.python,
    "openai_model": lambda plan: list(plan.model.names),
    "openai_text": lambda plan: plan.model.text,
    "ttft": lambda plan: plan.model.pace.ttft,
    "tokens_per_second": lambda plan: plan.model.pace.tokens_per_second,
    "jitter": lambda plan: plan.model.pace.jitter,
    "load_factor": lambda plan: plan.model.pace.load_factor,
    "max_model_len": lambda plan: plan.model.max_model_len,
    "sdk_rules": lambda plan: plan.rules,
}


def test_every_option_of_endpoints_reaches_them_somewhere() -> None:
    assert list(REACHES) == ENDPOINT_OPTIONS


@table(
    ("name", "layer"),
    [(name, layer) for name in ENDPOINT_OPTIONS for layer in ("flag", "variable", "endpoint", "server")],
)
@table("which", [0, 1])
def test_every_option_reaches_its_endpoint(monkeypatch: pytest.MonkeyPatch, name: str, layer: str, which: int) -> None:
    sample = SAMPLES[name][which]
    (plan,) = plan_all(give(name, {layer: sample}, monkeypatch))
    assert plan.settings.id == "a"
    assert REACHES[name](plan) == sample.value


def test_without_options_an_endpoint_is_what_the_platform_says() -> None:
    platform = Platform()
    (plan,) = plans("h.py").values()
    for name in (
        "workers_min",
        "workers_max",
        "idle_timeout",
        "execution_timeout",
        "job_ttl",
        "scaler",
        "init_timeout",
    ):
        assert getattr(plan.settings, name) == getattr(platform, name)
    assert (plan.settings.cold_start, plan.settings.throttle) == (Span(), Span())
    assert (plan.concurrency, plan.environment, plan.directory) == (1, {}, None)


@pytest.mark.parametrize("how", ["platform", "set"])
def test_the_platforms_fields_reach_endpoints_that_say_nothing(how: str) -> None:
    configure("[platform]\nworkers_max = 9\nidle_timeout = '9s'\n" if how == "platform" else "")
    words = ["--set", "workers_max=9", "--set", "idle_timeout=9s"] if how == "set" else []
    (plan,) = plans("h.py", *words).values()
    assert (plan.settings.workers_max, plan.settings.idle_timeout) == (9, 9_000)


def test_each_endpoint_has_options_of_its_own() -> None:
    configure("""\
        [server]
        idle_timeout = "9s"
        [endpoints.a]
        workers_max = 7
        scaler = "QUEUE_DELAY"
        scaler_value = 0.5
        [endpoints.b]
        handler = "h.py"
        cold_start = "1s-3s seed 7"
        concurrency = 4
    """)
    a, b = plans().values()
    assert (a.settings.workers_max, a.settings.idle_timeout, a.settings.cold_start) == (7, 9_000, Span())
    assert (a.settings.scaler, a.settings.scaler_delay) == ("QUEUE_DELAY", 500)
    assert (b.settings.workers_max, b.settings.idle_timeout, b.settings.cold_start) == (3, 9_000, Span(1_000, 3_000, 7))
    assert (b.settings.scaler, b.concurrency) == ("REQUEST_COUNT", 4)


# What contradicts


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (
            "[server]\nworkers_max = 2\n[endpoints.a]\nworkers_min = 3\n",
            (),
            "endpoint a: workers_min (3) is above workers_max (2): "
            "workers_min is set by runpod-emulator.toml:4, workers_max is set by runpod-emulator.toml:2",
        ),
        (
            "[endpoints.a]\nworkers_min = 3\nworkers_max = 2\n",
            (),
            "endpoint a: workers_min (3) is above workers_max (2): "
            "workers_min is set by runpod-emulator.toml:2, workers_max is set by runpod-emulator.toml:3",
        ),
        (
            "[endpoints.a]\nworkers_min = 4\n",
            (),
            "endpoint a: workers_min (4) is above workers_max (3): workers_min is set by runpod-emulator.toml:2",
        ),
        (
            "[endpoints.a]\nworkers_min = 2\n",
            ("--workers-max", "1"),
            "endpoint a: workers_min (2) is above workers_max (1): "
            "workers_min is set by runpod-emulator.toml:2, workers_max is set by --workers-max",
        ),
        (
            "[endpoints.ok]\nworkers_max = 5\n[endpoints.bad]\nworkers_max = 1\n",
            ("--workers-min", "4"),
            "endpoint bad: workers_min (4) is above workers_max (1): "
            "workers_min is set by --workers-min, workers_max is set by runpod-emulator.toml:4",
        ),
    ],
)
def test_more_workers_at_least_than_at_most_names_where_both_come_from(
    text: str, words: tuple[str, ...], said: str
) -> None:
    configure(text)
    assert refusal("--config", "runpod-emulator.toml", *words) == said


def test_a_variable_that_contradicts_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_EMULATOR_WORKERS_MIN", "9")
    assert refusal("h.py").endswith("workers_min is set by RUNPOD_EMULATOR_WORKERS_MIN")


@pytest.mark.parametrize("table", ["server", "endpoints.a"])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("job_ttl = '9s'", "job_ttl must be from 10000 to 604800000 ms, got 9000: job_ttl is set by "),
        ("job_ttl = '8d'", "job_ttl must be from 10000 to 604800000 ms, got 691200000: job_ttl is set by "),
        ("execution_timeout = '4s'", "execution_timeout must be from 5000 to 604800000 ms, got 4000: "),
        ("execution_timeout = '8d'", "execution_timeout must be from 5000 to 604800000 ms, got 691200000: "),
    ],
)
def test_a_time_out_of_range_names_where_it_comes_from(table: str, line: str, said: str) -> None:
    refused = refused_file(f"[{table}]\n{line}\n[endpoints.b]\n")
    assert said in refused
    assert refused.endswith(f"{line.partition(' ')[0]} is set by runpod-emulator.toml:2")


@pytest.mark.parametrize("text", ["7d", "10s", str(7 * DAY)])
def test_the_limits_of_a_jobs_life_are_possible(text: str) -> None:
    assert plans("h.py", "--job-ttl", text)["h"].settings.job_ttl in (7 * DAY, 10_000)


@pytest.mark.parametrize("name", ["execution_timeout", "init_timeout"])
def test_zero_is_no_timeout(name: str) -> None:
    configure(f"[endpoints.a]\n{name} = 0\n")
    assert getattr(plans()["a"].settings, name) == 0


@pytest.mark.parametrize("line", ["scaler_value = 1.5", "scaler = 'REQUEST_COUNT'\nscaler_value = 0.5"])
def test_jobs_for_each_worker_are_whole(line: str) -> None:
    number = 2 + line.count("\n")
    said = f"runpod-emulator.toml:{number}: scaler_value: under REQUEST_COUNT it is a whole number of jobs from 1"
    assert refused_file(f"[endpoints.a]\n{line}\n").startswith(said)


def test_a_servers_seconds_are_no_jobs_of_an_endpoint() -> None:
    refused = refused_file(
        "[server]\nscaler = 'QUEUE_DELAY'\nscaler_value = 2.5\n[endpoints.a]\nscaler = 'REQUEST_COUNT'\n"
    )
    assert refused.startswith("runpod-emulator.toml:3: scaler_value: under REQUEST_COUNT")


# Concurrency


@pytest.mark.parametrize("line", ["command = 'true'\n", ""])
def test_concurrency_is_not_for_programs(line: str) -> None:
    refused = refused_file(f"[endpoints.a]\n{line}concurrency = 2\n")
    number = 2 + line.count("\n")
    assert refused.startswith(
        f"runpod-emulator.toml:{number}: concurrency: it is the program's own concurrency_modifier"
    )


def test_concurrency_of_a_table_is_not_for_a_command_of_a_flag() -> None:
    configure("[endpoints.a]\nhandler = 'h.py'\nconcurrency = 2\n")
    assert refusal("--command", "a=true").startswith("runpod-emulator.toml:3: concurrency: ")
    assert plans("--endpoint", "a=i.py")["a"].concurrency == 2


@pytest.mark.parametrize("words", [("--concurrency", "2"), ()])
def test_concurrency_for_all_passes_over_programs(words: tuple[str, ...]) -> None:
    configure("[endpoints.a]\nhandler = 'h.py'\n[endpoints.b]\ncommand = 'true'\n" + (
        "" if words else "[server]\nconcurrency = 2\n"
    ))  # fmt: skip
    assert plans(*words)["a"].concurrency == 2


# Directories


@pytest.mark.parametrize("missing", ["nowhere", "h.py"])
def test_a_directory_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    assert refusal("h.py", "--directory", missing) == f"--directory: there is no folder {missing}"
    monkeypatch.setenv("RUNPOD_EMULATOR_DIRECTORY", missing)
    assert refusal("h.py").startswith("RUNPOD_EMULATOR_DIRECTORY: ")


@pytest.mark.parametrize("table", ["server", "endpoints.a"])
def test_a_directory_of_the_file_that_is_not_there_is_refused(table: str) -> None:
    refused = refused_file(f"[{table}]\ndirectory = 'nowhere'\n[endpoints.b]\n")
    assert refused.startswith("runpod-emulator.toml:2: ")
    assert "there is no folder nowhere" in refused


def test_a_handler_is_found_from_here_also_when_its_workers_run_elsewhere(folder: Path) -> None:
    plan = plans("h.py", "--directory", "one")["h"]
    assert (plan.service.handler, plan.directory) == (str(folder / "h.py"), str(folder / "one"))


def test_a_module_is_found_where_the_workers_run(folder: Path) -> None:
    plan = plans("package.module:run", "--directory", "one")["module"]
    assert (plan.service.handler, plan.directory) == ("package.module:run", str(folder / "one"))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("h.py",), "."),
        (("one/h.py:run",), "one"),
        (("one/h.py", "--directory", "two"), "one"),
        (("package.module:run",), "."),
        (("package.module:run", "--directory", "one"), "one"),
    ],
    ids=str,
)
def test_the_folder_of_a_handlers_own_code(folder: Path, words: tuple[str, ...], code: str) -> None:
    (plan,) = plans(*words).values()
    assert os.path.realpath(plan.folder) == os.path.realpath(folder / code)


# RUNPOD_INIT_TIMEOUT


@table(("text", "value"), [("30", 30_000), ("0.5", 500), ("0", 0), (" 9 ", 9_000)])
@table("layer", ["server", "endpoint", "variable", "flag"])
def test_runpod_init_timeout_is_seconds_and_counts_more_than_the_option(
    monkeypatch: pytest.MonkeyPatch, layer: str, text: str, value: int
) -> None:
    table = {"server": "[server]", "endpoint": "[endpoints.a]"}.get(layer)
    configure("[endpoints.b]\n[endpoints.a]\ninit_timeout = '9m'\n" + (
        f"{'' if layer == 'endpoint' else table}\nenvironment = {{ RUNPOD_INIT_TIMEOUT = '{text}' }}\n" if table else ""
    ))  # fmt: skip
    if layer == "variable":
        monkeypatch.setenv("RUNPOD_EMULATOR_ENVIRONMENT", f'{{"RUNPOD_INIT_TIMEOUT": "{text}"}}')
    words = ["--environment", f"RUNPOD_INIT_TIMEOUT={text}"] if layer == "flag" else []
    assert plans(*words)["a"].settings.init_timeout == value


def test_runpod_init_timeout_around_the_server_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_INIT_TIMEOUT", "30")
    assert plans("h.py")["h"].settings.init_timeout == Platform().init_timeout


@pytest.mark.parametrize("text", ["soon", "", "30s", "nan"])
def test_runpod_init_timeout_that_is_no_number_is_refused(text: str) -> None:
    refused = refused_file(f"[endpoints.a]\nenvironment = {{ RUNPOD_INIT_TIMEOUT = '{text}' }}\n")
    assert refused.endswith(f"RUNPOD_INIT_TIMEOUT: write seconds, got '{text}'")


def test_runpod_init_timeout_is_told_with_its_line() -> None:
    refused = refused_file("[endpoints.a]\n\nenvironment = { RUNPOD_INIT_TIMEOUT = 'soon' }\n")
    assert refused.startswith("runpod-emulator.toml:3: ")


@pytest.mark.parametrize("text", ["-5", "inf"])
def test_runpod_init_timeout_that_is_no_time_is_refused(text: str) -> None:
    assert "RUNPOD_INIT_TIMEOUT" in refused_file(f"[endpoints.a]\nenvironment = {{ RUNPOD_INIT_TIMEOUT = '{text}' }}\n")


# Interpreters


def test_an_interpreter_is_found_from_here_also_when_the_workers_run_elsewhere(folder: Path) -> None:
    write(folder, "venv/bin/python")
    (folder / "venv/bin/python").chmod(0o755)
    plan = plans("h.py", "--directory", "one", "--python", "venv/bin/python")["h"]
    found = os.path.join(plan.directory or os.getcwd(), plan.python)
    assert os.path.realpath(found) == os.path.realpath(folder / "venv/bin/python")


def test_each_endpoint_may_have_an_interpreter_of_its_own() -> None:
    configure("[server]\npython = 'python3'\n[endpoints.a]\npython = '/usr/bin/python3'\n[endpoints.b]\n")
    settings = settings_for()
    assert [plan.python for plan in plan_all(settings)] == ["/usr/bin/python3", "python3"]


# The volume


def test_the_workers_are_told_where_the_volume_is(folder: Path) -> None:
    (folder / "vol").mkdir()
    write(folder, "h.py")
    assert plans("h.py", "--volume", "vol")["h"].environment == {"RUNPOD_VOLUME_PATH": str(folder / "vol")}
    own = plans("h.py", "--volume", "vol", "--environment", "RUNPOD_VOLUME_PATH=/mine")["h"]
    assert (own.environment, own.volume) == ({"RUNPOD_VOLUME_PATH": "/mine"}, str(folder / "vol"))


def test_a_volume_must_be_there(folder: Path) -> None:
    write(folder, "h.py")
    assert refusal("h.py", "--volume", "vol") == "--volume: there is no folder vol"


@pytest.mark.parametrize("value", ["eighty", "0", "70000", "{worker}", "{port2}0"])
def test_a_health_port_that_is_no_port_is_refused(value: str) -> None:
    environment = ("--environment", f"PORT_HEALTH={value}")
    said = refusal("--load-balancer", "lb=h.py:app", *environment)
    assert "--environment: PORT_HEALTH: write a port, or {port2} for a free one of each worker" in said
    assert plans("h.py", *environment)["h"].environment == {"PORT_HEALTH": value}  # only a load balancer reads it


def test_the_capacity_of_workers_is_for_load_balancers_only() -> None:
    found = plans("h.py", "--load-balancer", "lb=i.py:app", "--worker-capacity", "4")
    assert [found[name].settings.worker_capacity for name in ("h", "lb")] == [0, 4]
    said = refused_file("[endpoints.a]\nhandler = 'h.py'\nworker_capacity = 4\n")
    assert "runpod-emulator.toml:3: worker_capacity: this is for load-balancing endpoints only" in said


@table(
    "words, clock",
    [
        (("--mock", "llm"), "auto"),
        (("--mock", "llm", "--mock", "tts"), "auto"),
        (("--mock", "llm", "--openai", "gpt"), "auto"),
        (("--openai", "gpt", "--ttft", "1ms"), "real"),
        (("--openai", "gpt", "--tokens-per-second", "40", "--clock", "virtual"), "virtual"),
        (("--mock", "llm", "--ttft", "1ms"), "auto"),
        (("--mock", "llm", "--clock", "real"), "real"),
        (("--mock", "llm", "--endpoint", "far"), "real"),
        (("--mock", "llm", "--command", "c=python -u c.py"), "real"),
        (("h.py",), "real"),
        (("h.py", "--clock", "auto"), "auto"),
        (("--mock", "llm", "--clock", "virtual"), "virtual"),
    ],
)
def test_time_is_left_out_where_only_stubs_serve(folder: Path, words: tuple[str, ...], clock: str) -> None:
    write(folder, "h.py")
    settings = settings_for(*words)
    assert clock_of(settings, plan_all(settings)) == clock


def test_handlers_that_are_debugged_have_a_port_one_worker_and_no_limits() -> None:
    configure("[endpoints.b]\ncommand = 'true'\n[endpoints.c]\nhandler = 'i.py'\nworkers_max = 5\n[endpoints.a]\n"
              "handler = 'h.py'\nexecution_timeout = '9s'\n")  # fmt: skip
    found = plans("--debug", "7000")
    assert {name: plan.debug_port for name, plan in found.items()} == {"b": None, "c": 7000, "a": 7001}
    for name in "ca":
        settings = found[name].settings
        assert (settings.workers_min, settings.workers_max, settings.unlimited) == (1, 1, True)
        assert (settings.execution_timeout, settings.init_timeout) == (0, 0)
    assert not found["b"].settings.unlimited
    assert settings_for("--debug").debug == 5678
    assert settings_for("--debug", "h.py", "--port", "1").handlers == ["h.py"]
    assert settings_for("--debug").platform().worker_lease > 3_600_000


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--mock", "m", "--debug"), "--debug is for handlers, and there is none"),
        (("h.py", "i.py", "--debug", "65535"), "--debug 65535: with a port for each handler that goes beyond 65535"),
        (("h.py", "--debug", "0"), "--debug: "),
    ],
)
def test_what_cannot_be_debugged_is_refused(words: tuple[str, ...], says: str) -> None:
    assert refusal(*words).startswith(says)
