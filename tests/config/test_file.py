"""The configuration file: where it is, what is refused in it, and on which line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.config import file as file_module
from runpod_emulator.config.file import find_file, read_file
from runpod_emulator.config.lines import lines_of
from runpod_emulator.config.options import EndpointOptions, GivenOptions, all_options
from runpod_emulator.core.errors import ConfigurationError

from tests.config.given import (
    ENDPOINT_OPTIONS,
    SERVER_KEYS,
    configure,
    plans,
    refusal,
    refused_file,
    settings_for,
    write,
)
from tests.tables import table

# Where it is


def test_the_file_is_looked_for_here_and_above(folder: Path) -> None:
    (folder / "a/b/c").mkdir(parents=True)
    assert find_file(folder / "a/b/c") is None
    for place in ("", "a", "a/b/c"):
        configure("", f"{place or '.'}/runpod-emulator.toml")
        assert find_file(folder / "a/b/c") == folder / place / "runpod-emulator.toml", "the nearest"
    assert find_file(folder / "a/b") == folder / "a" / "runpod-emulator.toml", "none below"


def test_a_folder_of_that_name_is_no_file(folder: Path) -> None:
    configure("")
    (folder / "a/runpod-emulator.toml").mkdir(parents=True)
    assert find_file(folder / "a") == folder / "runpod-emulator.toml"


def test_a_file_above_configures_the_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure("[server]\nport = 9000\n")
    (folder / "a/b").mkdir(parents=True)
    monkeypatch.chdir(folder / "a/b")
    assert settings_for().effective("port") == (9000, "../../runpod-emulator.toml:2")
    assert settings_for("--no-config").effective("port") == (8000, "default")
    assert settings_for("--no-config").file is None
    monkeypatch.setenv("RUNPOD_EMULATOR_NO_CONFIG", "1")
    assert settings_for().file is None
    assert settings_for("--config", "../../runpod-emulator.toml").effective("port").value == 9000
    assert refusal("--no-config", "--config", "x.toml") == "--config and --no-config exclude each other"


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing", "[server]", "[platform]", "[endpoints]", "server = {}"])
def test_a_file_may_say_nothing(text: str) -> None:
    configure(text)
    settings = settings_for("--endpoint", "a")
    assert settings.file is not None
    assert settings.effective("port").origin == "default"


# A file that cannot be read


def test_a_file_that_is_not_there_is_named() -> None:
    assert refusal("--config", "missing.toml") == "missing.toml: No such file or directory"


def test_a_folder_is_no_file(folder: Path) -> None:
    (folder / "conf").mkdir()
    assert refusal("--config", "conf") == "conf: Is a directory"


def test_a_file_that_may_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Path, *_: Any, **__: Any) -> str:
        raise PermissionError(13, "Permission denied", str(self))

    configure("")
    monkeypatch.setattr(Path, "read_text", read)
    monkeypatch.setattr(Path, "read_bytes", read)
    assert refusal("--config", "runpod-emulator.toml") == "runpod-emulator.toml: Permission denied"


@pytest.mark.parametrize(
    "content", [b"[server]\nhost = '\xe9'\n", "[server]\n".encode("utf-16")], ids=["latin-1", "utf-16"]
)
def test_a_file_that_is_not_utf_8_is_named(folder: Path, content: bytes) -> None:
    (folder / "runpod-emulator.toml").write_bytes(content)
    words = refusal()
    assert words.startswith("runpod-emulator.toml: ")
    assert "utf-8" in words


def test_other_letters_are_welcome(folder: Path) -> None:
    text = "# für alle 🎉\n[endpoints.a]\nenvironment = { 'GRÜSSE' = 'schön' }\n"
    (folder / "runpod-emulator.toml").write_text(text, encoding="utf-8")
    assert settings_for().environment_of("a") == {"GRÜSSE": "schön"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[server\nport = 1\n", 1),
        ("[server]\nport = \n", 2),
        ("[server]\nport 9000\n", 2),
        ("[server]\n\nhost = localhost\n", 3),
        ("[server]\nport = 1\n\nport = 2\n", 4),
        ("[endpoints.a]\n[endpoints.b]\n[endpoints.a]\n", 3),
        ("[server]\napi_key = ['a'\n[endpoints.a]\n", 3),
    ],
)
def test_a_broken_file_is_told_with_its_line(text: str, line: int) -> None:
    words = refused_file(text)
    assert words.startswith("runpod-emulator.toml")
    assert f"line {line}," in words


# Keys that there are not


@table(
    ("text", "words"),
    [
        ("serverr = {}", "1: serverr: no such key; the nearest is server"),
        ("[sever]\nport = 1", "1: sever: no such key; the nearest is server"),
        ("[platfrom]", "1: platfrom: no such key; the nearest is platform"),
        ("[endpoint.a]", "1: endpoint: no such key; the nearest is endpoints"),
        ("[server]\nporrt = 1", "2: server.porrt: no such key; the nearest is port"),
        ("[server]\nport-file = 'p'", "2: server.port-file: no such key; the nearest is port_file"),
        ("[server]\nworkersMax = 3", "2: server.workersMax: no such key; the nearest is workers_max"),
        ("[server]\nhandler = 'h.py'", "2: server.handler: no such key; the nearest is handlers"),
        ("[server.enviroment]\nA = '1'", "1: server.enviroment: no such key; the nearest is environment"),
        ("[endpoints.a]\nhandlr = 'h.py'", "2: endpoints.a.handlr: no such key; the nearest is handler"),
        ("[endpoints.a]\nenv = {}", "2: endpoints.a.env: no such key; the nearest is "),
        ("[endpoints.a.enviroment]\nA = '1'", "1: endpoints.a.enviroment: no such key; the nearest is environment"),
        ("[endpoints]\na.comand = 'x'", "2: endpoints.a.comand: no such key; the nearest is command"),
        ("[platform]\nrun_retentio = 1", "2: no field run_retentio. The nearest is run_retention; "),
    ],
)
def test_a_key_that_is_none_is_told_with_its_line_and_the_nearest(text: str, words: str) -> None:
    assert refused_file(text).startswith(f"runpod-emulator.toml:{words}")


@pytest.mark.parametrize("text", ["port = 9000", "[endpoints.a]\nport = 9000", "[endpoints.a]\nhost = '::1'"])
def test_a_servers_key_elsewhere_is_told_where_it_belongs(text: str) -> None:
    assert "[server]" in refused_file(text)


@pytest.mark.parametrize("endpoint", ["a.b", "llm.v2"])
def test_a_table_of_an_id_with_a_dot_is_not_taken_for_an_option(endpoint: str) -> None:
    assert "the nearest" not in refused_file(f"[endpoints.{endpoint}]\nhandler = 'h.py'\n")


# Values of a wrong type

NUMBERS = ["'1'", "true", "1.5", "[1]", "{ a = 1 }", "1979-05-27"]
WRONG = {
    "a number": NUMBERS,
    "a flag": ["1", "0", "'true'", "[true]", "{}"],
    "a text": ["1", "1.5", "true", "['x']", "{ a = 'x' }", "1979-05-27"],
    "a list": ["'x'", "1", "true", "[1]", "['x', 1]", "{ a = 'x' }"],
    "variables": ["1", "'A=1'", "{ A = 1 }", "{ A = true }", "['A']", "{ A = { B = '1' } }"],
    "a time": ["true", "1.5", "'soon'", "''", "[1]", "-1", "'-1s'"],
    "a span": ["true", "1.5", "'soon'", "''", "[1, 2]", "-1", "'3s-1s'"],
    "a word": ["'x'", "1", "true", "['QUEUE_DELAY']", "''"],
}


def wrong_values(name: str) -> list[str]:
    """TOML values that are none of this option."""
    if name in ("scaler_value", "tokens_per_second"):
        return ["'1'", "true", "[1]", "0", "-1", "nan"]
    if name in ("jitter", "load_factor"):
        return ["'1'", "true", "[1]", "-1", "nan", "1001"]
    kinds = {
        "a number": (
            "port",
            "tls_port",
            "proxy",
            "max_processes",
            "max_namespaces",
            "keep_bytes",
            "seed",
            "debug",
            "workers_min",
            "workers_max",
            "batch_workers_max",
            "concurrency",
            "worker_capacity",
            "max_model_len",
        ),
        "a time": ("idle_timeout", "execution_timeout", "job_ttl", "init_timeout", "keep_alive", "stop_grace"),
        "a span": ("cold_start", "throttle", "ttft"),
        "a word": ("isolate", "profile", "log_level", "log_requests", "log_format", "scaler", "openai_text"),
        "a list": (
            "handlers",
            "endpoint",
            "command",
            "flash",
            "mock",
            "openai",
            "openai_model",
            "load_balancer",
            "stubs",
            "fault_profile",
            "set",
            "api_key",
            "worker_key",
            "admin_key",
            "tls_name",
            "proxy_host",
            "allowed_host",
            "webhook_allow",
            "webhook_deny",
        ),
        "a flag": ("tls", "proxy_pass", "no_auth", "no_rate_limits", "reload"),
        "variables": ("environment",),
    }
    return WRONG[next((kind for kind, names in kinds.items() if name in names), "a text")]


@table(("name", "value"), [(name, value) for name in SERVER_KEYS for value in wrong_values(name)])
def test_a_wrong_type_for_the_server_is_told_with_key_and_line(name: str, value: str) -> None:
    words = refused_file(f"# a comment\n[server]\n{name} = {value}\n[endpoints.a]\n")
    assert words.startswith(f"runpod-emulator.toml:3: server.{name}")


@table(("name", "value"), [(name, value) for name in ENDPOINT_OPTIONS for value in wrong_values(name)])
def test_a_wrong_type_for_an_endpoint_is_told_with_key_and_line(name: str, value: str) -> None:
    words = refused_file(f"[endpoints.b]\n[endpoints.a]\n\n{name} = {value}\n")
    assert words.startswith(f"runpod-emulator.toml:4: endpoints.a.{name}")


@pytest.mark.parametrize("value", ["1", "true", "['h.py']", "{}"])
def test_a_handler_is_a_text(value: str) -> None:
    assert refused_file(f"[endpoints.a]\nhandler = {value}\n").startswith("runpod-emulator.toml:2: endpoints.a.handler")


@pytest.mark.parametrize("value", ["1", "true", "['sh', 1]", "{}"])
def test_a_command_is_a_text_or_a_list_of_texts(value: str) -> None:
    assert refused_file(f"[endpoints.a]\ncommand = {value}\n").startswith("runpod-emulator.toml:2: endpoints.a.command")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server = 1", "1: server: "),
        ("server = []", "1: server: "),
        ("[[server]]\nport = 1", "1: server: "),
        ("\nplatform = 'observed'", "2: platform: "),
        ("endpoints = ['a']", "1: endpoints: "),
        ("[[endpoints]]\nhandler = 'h.py'", "1: endpoints: "),
        ("[endpoints]\na = 'h.py'", "2: endpoints.a: "),
        ("[endpoints]\n\nhandler = 'h.py'", "3: endpoints.handler: "),
        ("[[endpoints.a]]\nhandler = 'h.py'", "1: endpoints.a: "),
    ],
)
def test_what_is_no_table_is_told_with_its_line(text: str, words: str) -> None:
    assert refused_file(text).startswith(f"runpod-emulator.toml:{words}")


@pytest.mark.parametrize(
    "text",
    ["server = 1", "[endpoints]\na = 'h.py'", "endpoints = ['a']", "[server]\nenvironment = 1", "platform = 1",
     "[server]\ndirectory = 1"],
)  # fmt: skip
def test_a_message_speaks_toml_and_not_python(text: str) -> None:
    words = refused_file(text)
    assert "instance of" not in words
    assert "dictionary" not in words


# Values that cannot be


@table("table", ["server", "endpoints.a"])
@table(
    ("line", "words"),
    [
        ("workers_min = -1", "workers_min: Input should be greater than or equal to 0"),
        ("workers_max = -1", "workers_max: Input should be greater than or equal to 0"),
        ("idle_timeout = 0", "idle_timeout: Input should be greater than or equal to 1"),
        ("idle_timeout = '0s'", "idle_timeout: Input should be greater than or equal to 1"),
        ("scaler = 'queue_delay'", "scaler: Input should be 'REQUEST_COUNT' or 'QUEUE_DELAY'"),
        ("scaler_value = 0", "scaler_value: Input should be greater than 0"),
        ("concurrency = 0", "concurrency: Input should be greater than or equal to 1"),
        ("cold_start = '3s-1s'", "cold_start: the range 3s-1s ends before it begins"),
        ("environment = ['A']", "environment: A: write NAME=VALUE"),
        ("environment = { A = 1 }", "environment.A: Input should be a valid string"),
    ],
)
def test_an_impossible_value_is_told_with_key_and_line(table: str, line: str, words: str) -> None:
    assert refused_file(f"[{table}]\n\n{line}\n") == f"runpod-emulator.toml:3: {table}.{words}"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("port = 70000", "port: Input should be less than or equal to 65535"),
        ("port = -1", "port: Input should be greater than or equal to 0"),
        ("max_processes = 0", "max_processes: Input should be greater than or equal to 1"),
        ("profile = 'strict'", "profile: Input should be 'observed' or 'documented'"),
        ("log_level = 'loud'", "log_level: Input should be 'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_an_impossible_value_of_the_server_is_told_with_key_and_line(line: str, words: str) -> None:
    assert refused_file(f"[server]\n\n{line}\n") == f"runpod-emulator.toml:3: server.{words}"


# On which line

BEFORE = {
    "nothing": "",
    "blank lines": "\n\n\n",
    "a comment": "# wrong = 1\n",
    "a list": "api_key = [\n  'wrong = 1', # wrong = 1\n\n  'wrong',\n]\n",
    "a text of lines": 'host = """\nwrong = 1\n[server]\nwrong = 2\n"""\n',
    "a literal of lines": "host = '''\nwrong = 1\n\n'''\n",
    "a text that ends its line": 'host = """a\\\n   wrong = 1"""\n',
    "an inline table": "environment = { wrong = '1', A = 'wrong = 1' }\n",
    "the name as a value": "host = 'wrong'\n",
    "a longer name": "environment.wrong = '1'\n",
    "quotes in a text": 'host = \'a"b\'\nworker_key = ["it\'s", \'"""\']\n',
    "other letters": "host = 'für 🎉'\n# 🎉\n",
    "a hash in a text": "host = '# no comment'\n",
    "a list of lists": "api_key = [[\n'a'],\n['b'\n]]\n",
}
FORMS = ["wrong = 1", '"wrong" = 1', "'wrong' = 1", "  wrong=1", "wrong = [\n 1,\n 2]", "wrong.deeper = 1",
         "wrong = '''\na\nb'''", "wrong = 1 # a comment", "wrong = { a = 1 }", '"\\u0077rong" = 1']  # fmt: skip
AFTER = ["", "\n[endpoints.wrong]\nworkers_max = 1\n", "\n\n# wrong = 1\n[platform]\nrun_retention = 1\n"]


@table("after", AFTER)
@table("form", FORMS)
@table("before", BEFORE.values())
def test_the_line_of_a_key(before: str, form: str, after: str) -> None:
    text = f"[server]\n{before}{form}{after}"
    assert lines_of(text)["server", "wrong"] == 2 + before.count("\n")


@table("ending", ["\n", "\r\n"])
@table(
    ("text", "keys", "line"),
    [
        ("a = 1\nb = 2\nc = 3", ("c",), 3),
        ("server.host = 'x'\nserver.port = 1", ("server", "port"), 2),
        ('"server"."port" = 1', ("server", "port"), 1),
        ("server = { host = 'x', port = 1 }", ("server", "port"), 1),
        ("\nserver = { host = 'x', environment = { A = '1' } }", ("server", "environment", "A"), 2),
        ("[server]\nhost = 'x'\n\n[server.environment]\nA = '1'\nB = '2'", ("server", "environment", "B"), 6),
        ("[a]\nx = 1\n[b]\nx = 1\n[c]\nx = 1", ("b", "x"), 4),
        ("[endpoints.a]\nx = 1\n[endpoints.b]\ny = 1\nx = 1", ("endpoints", "b", "x"), 5),
        ("[endpoints.a]\nx = 1\n[endpoints.b]", ("endpoints", "b"), 3),
        ("[endpoints.a.environment]\nA = '1'\n[endpoints.a]\nx = 1", ("endpoints", "a", "x"), 4),
        ("[endpoints]\na = { x = 1 }\nb = { y = 1,  x = 1 }", ("endpoints", "b", "x"), 3),
        ("[ server ]   # a comment\n  port   =   1", ("server", "port"), 2),
        ("[endpoints.'a.b']\nx = 1\n[endpoints.a]\nb = 1", ("endpoints", "a", "b"), 4),
        ("x = 1\n[server]\nport = 1", ("server",), 2),
        ("x = 1\n[server]\nport = 1", ("server", "missing"), 1),
        ("x = 1\n[server]\nport = 1", (), 1),
        ("", ("server",), 1),
    ],
)
def test_the_line_of_keys_in_tables(text: str, keys: tuple[str, ...], line: int, ending: str) -> None:
    assert lines_of(text.replace("\n", ending)).get(keys, 1) == line


@table("number", range(1, 31, 3))
def test_each_line_of_a_file_is_found(number: int) -> None:
    names = [f"host{number}" if count == number else f"environment.N{count}" for count in range(1, 31)]
    words = refused_file("[server]\n" + "".join(f"{name} = 'x'\n" for name in names))
    assert words.startswith(f"runpod-emulator.toml:{number + 1}: server.host{number}: no such key")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[server]\nworkers_max = 1\n[endpoints.a]\nworkers_max = 1\n[endpoints.b]\nworkers_max = -1",
            "6: endpoints.b",
        ),
        (
            "[endpoints.a]\nworkers_max = -1\n[endpoints.b]\nworkers_max = 1\n[server]\nworkers_max = 1",
            "2: endpoints.a",
        ),
        ("[server]\napi_key = [\n'a',\n1]", "2: server.api_key"),
        ("[endpoints.a]\nenvironment = { A = '1', B = 2 }", "2: endpoints.a.environment.B"),
        ("[endpoints.a.environment]\nA = '1'\n\nB = 2", "4: endpoints.a.environment.B"),
        ("endpoints.a.workers_max = 1\nendpoints.a.workers_min = '1'", "2: endpoints.a.workers_min"),
        ("endpoints = { a = { workers_min = '1' } }", "1: endpoints.a.workers_min"),
    ],
)
def test_the_line_in_a_message(text: str, words: str) -> None:
    assert refused_file(text).startswith(f"runpod-emulator.toml:{words}")


@pytest.mark.parametrize("sign", ["\u2028", "\x85"], ids=["U+2028", "U+0085"])
def test_only_newlines_end_a_line(sign: str) -> None:
    assert lines_of(f"# a{sign}b\nport = 1\n")["port",] == 2


def test_lines_are_found_without_reading_the_file_over_and_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    loads = file_module.tomllib.loads
    monkeypatch.setattr(file_module.tomllib, "loads", lambda text: reads.append(text) or loads(text))
    write(folder, "h.py")
    table = "[endpoints.e{}]\nhandler = 'h.py'\nworkers_min = 0\nworkers_max = 2\nidle_timeout = '5s'\n"
    configure("".join(table.format(number) for number in range(10)))
    plans()
    assert len(reads) <= 2 * 50 + 10, "at most about once a line"


# Paths of a file that is elsewhere


@pytest.fixture
def deep(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, two below the folder of the file."""
    write(folder, "h.py", "src/h.py", "lib/a.py", "lib/b.py")
    (folder / "a/b").mkdir(parents=True)
    monkeypatch.chdir(folder / "a/b")
    return folder


def above(text: str) -> None:
    configure(text, "../../runpod-emulator.toml")


@pytest.mark.parametrize("handler", ["h.py", "src/h.py", "./h.py", "src/h.py:run", "src/h.py:Model.run"])
def test_a_handler_starts_from_the_folder_of_the_file(deep: Path, handler: str) -> None:
    above(f"[endpoints.x]\nhandler = '{handler}'\n")
    plan = plans()["x"]
    assert plan.directory is not None
    path, colon, function = (plan.service.handler or "").partition(":")
    expected, _, _ = handler.partition(":")
    assert os.path.realpath(os.path.join(plan.directory, path)) == os.path.realpath(deep / expected)
    assert f"{colon}{function}" == handler.removeprefix(expected)


def test_a_module_stays_a_module_and_is_looked_for_in_the_folder_of_the_file(deep: Path) -> None:
    above("[endpoints.x]\nhandler = 'package.module:run'\n")
    plan = plans()["x"]
    assert (plan.service.handler, plan.directory) == ("package.module:run", str(deep))


@pytest.mark.parametrize("command", ["python -u src/h.py", ["python", "-u", "src/h.py"]], ids=["a text", "a list"])
def test_a_command_runs_in_the_folder_of_the_file(deep: Path, command: object) -> None:
    above(f"[endpoints.x]\ncommand = {command!r}\n")
    plan = plans()["x"]
    assert (plan.service.command, plan.directory) == (("python", "-u", "src/h.py"), str(deep))


def test_handlers_of_the_server_start_from_the_folder_of_the_file(deep: Path) -> None:
    above("[server]\nhandlers = ['src/h.py', 'lib', 'package.module:run']\n")
    served = {name: plan.service.handler or "" for name, plan in plans().items()}
    assert list(served) == ["h", "a", "b", "module"]
    assert [os.path.realpath(served[name]) for name in ("h", "a", "b")] == [
        os.path.realpath(deep / path) for path in ("src/h.py", "lib/a.py", "lib/b.py")
    ]
    assert served["module"] == "package.module:run"


def test_endpoints_of_the_server_start_from_the_folder_of_the_file(deep: Path) -> None:
    above("[server]\nendpoint = ['x=h.py']\n")
    assert os.path.realpath(plans()["x"].service.handler or "") == os.path.realpath(deep / "h.py")


def test_a_command_of_the_server_runs_in_the_folder_of_the_file(deep: Path) -> None:
    above("[server]\ncommand = ['x=python -u src/h.py']\n")
    assert plans()["x"].directory == str(deep)


def test_a_module_of_the_server_is_looked_for_in_the_folder_of_the_file(deep: Path) -> None:
    above("[server]\nhandlers = ['package.module:run']\n")
    assert plans()["module"].directory == str(deep)


@pytest.mark.parametrize("table", ["server", "endpoints.x"])
def test_a_directory_starts_from_the_folder_of_the_file(deep: Path, table: str) -> None:
    above(f"[endpoints.x]\nhandler = 'h.py'\n[{table}]\ndirectory = 'src'\n".replace("[endpoints.x]\ndir", "dir"))
    plan = plans()["x"]
    assert os.path.realpath(plan.directory or "") == os.path.realpath(deep / "src")
    assert os.path.realpath(plan.service.handler or "") == os.path.realpath(deep / "h.py")


def test_the_folder_of_the_local_ca_starts_from_the_folder_of_the_file(deep: Path) -> None:
    above("[server]\ntls_folder = 'tls'\n")
    path = settings_for().tls_folder
    assert path is not None
    assert os.path.realpath(path) == os.path.realpath(deep / "tls")


def test_a_port_file_starts_from_the_folder_of_the_file(deep: Path) -> None:
    above("[server]\nport_file = 'port.txt'\n")
    path = settings_for().port_file
    assert path is not None
    assert os.path.realpath(path) == os.path.realpath(deep / "port.txt")


@pytest.mark.parametrize("table", ["server", "endpoints.x"])
@pytest.mark.parametrize("python", ["python3", "/usr/bin/python3"])
def test_an_interpreter_that_is_no_path_below_the_file_stays_as_it_is(deep: Path, table: str, python: str) -> None:
    above(f"[{table}]\npython = '{python}'\n")
    assert settings_for().effective("python", "x").value == python


@pytest.mark.parametrize("table", ["server", "endpoints.x"])
def test_an_interpreter_below_the_file_is_found_where_the_workers_run(deep: Path, table: str) -> None:
    write(deep, "venv/bin/python")
    (deep / "venv/bin/python").chmod(0o755)
    above(
        f"[endpoints.x]\nhandler = 'h.py'\n[{table}]\npython = 'venv/bin/python'\n".replace("[endpoints.x]\npy", "py")
    )
    plan = plans()["x"]
    found = os.path.join(plan.directory or os.getcwd(), plan.python)
    assert os.path.realpath(found) == os.path.realpath(deep / "venv/bin/python")


def test_absolute_paths_stay_as_they_are(deep: Path) -> None:
    above(f"[endpoints.x]\nhandler = '{deep}/h.py'\n[server]\nhandlers = ['{deep}/lib/a.py']\n")
    served = plans()
    assert [served[name].service.handler for name in ("x", "a")] == [f"{deep}/h.py", f"{deep}/lib/a.py"]


def test_paths_of_flags_start_from_the_working_directory(deep: Path) -> None:
    write(deep, "a/b/own.py")
    above("[server]\nport = 9000\n")
    plan = plans("own.py")["own"]
    assert (plan.service.handler, plan.directory) == ("own.py", None)


def test_a_file_that_a_flag_names_has_its_own_folder(folder: Path) -> None:
    write(folder, "conf/h.py")
    configure("[endpoints.x]\nhandler = 'h.py'\n", "conf/my.toml")
    plan = plans("--config", "conf/my.toml")["x"]
    assert os.path.realpath(plan.service.handler or "") == os.path.realpath(folder / "conf/h.py")
    assert plan.directory == str(folder / "conf")


def test_a_file_here_leaves_paths_and_directory_alone(folder: Path) -> None:
    write(folder, "src/h.py")
    configure("[endpoints.x]\nhandler = 'src/h.py'\n")
    plan = plans()["x"]
    assert (plan.service.handler, plan.directory) == ("src/h.py", None)


def test_a_missing_handler_of_a_file_above_is_refused(deep: Path) -> None:
    above("[endpoints.x]\nhandler = 'missing.py'\n")
    words = refusal()
    assert words.startswith("../../runpod-emulator.toml:2: endpoints.x.handler: ")
    assert "there is no file" in words
    assert "missing.py" in words


def test_a_file_elsewhere_keeps_its_lines(deep: Path) -> None:
    above("[server]\n\nworkers_max = 4\n[endpoints.x]\nhandler = 'h.py'\npython = 'python3'\n")
    settings = settings_for()
    assert settings.effective("workers_max", "x") == (4, "../../runpod-emulator.toml:3")
    assert settings.effective("python", "x") == ("python3", "../../runpod-emulator.toml:6")
    assert settings.effective("idle_timeout", "x").origin == "default"


def test_a_message_about_a_file_above_says_where_it_is(deep: Path) -> None:
    above("[server]\nwrong = 1\n")
    assert "../../runpod-emulator.toml:2" in refusal() or f"{deep}/runpod-emulator.toml:2" in refusal()


# What was read


def test_a_file_that_was_read_knows_its_places(folder: Path) -> None:
    configure("[server]\nport = 1\n[endpoints.a]\nworkers_max = 3\n")
    file = read_file(folder / "runpod-emulator.toml")
    assert file.tables.server.port == 1
    assert file.tables.endpoints["a"].workers_max == 3
    assert file.place("server", "port") == "runpod-emulator.toml:2"
    assert file.place("endpoints", "a") == "runpod-emulator.toml:3"
    assert file.place("endpoints", "a", "workers_max") == "runpod-emulator.toml:4"
    assert (file.folder, file.is_elsewhere) == (folder, False)


def test_a_wrong_file_raises(folder: Path) -> None:
    configure("[server]\nport = 'x'\n")
    with pytest.raises(ConfigurationError, match=r"server\.port"):
        read_file(folder / "runpod-emulator.toml")


def test_the_wrong_values_above_cover_every_option() -> None:
    assert set(SERVER_KEYS) == set(GivenOptions.model_fields) - {"config", "no_config"}
    assert set(ENDPOINT_OPTIONS) == set(EndpointOptions.model_fields)
    assert all(wrong_values(name) for name in all_options())
