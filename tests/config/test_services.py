"""What serves each endpoint: handlers, commands, workers started elsewhere; of flags and of the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from runpod_emulator.config.services import Service, checked_handler, checked_id, hidden_modules
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.errors import ConfigurationError

from tests.config.given import configure, plans, refusal, refused_file, settings_for, write
from tests.tables import table


def programs(*handlers: str, endpoint: tuple[str, ...] = ()) -> dict[str, str | None]:
    services = read_settings(handlers=list(handlers), endpoint=list(endpoint)).services()
    return {endpoint_id: service.handler for endpoint_id, service in services.items()}


# Handlers of flags


def test_an_endpoint_is_called_after_its_file(folder: Path) -> None:
    write(folder, "echo.py", "src/my-handler_2.py")
    assert programs("echo.py", "src/my-handler_2.py") == {"echo": "echo.py", "my-handler_2": "src/my-handler_2.py"}


def test_a_function_of_a_file_or_a_module(folder: Path) -> None:
    write(folder, "src/main.py")
    assert programs("src/main.py:run", "package.module:run", "single:run") == {
        "main": "src/main.py:run",
        "module": "package.module:run",
        "single": "single:run",
    }


def test_a_method_of_a_class_in_a_file(folder: Path) -> None:
    write(folder, "main.py")
    assert programs("main.py:Model.run") == {"main": "main.py:Model.run"}


def test_endpoint_names_a_handler(folder: Path) -> None:
    write(folder, "main.py")
    assert programs(endpoint=("llm=main.py", "Image-2=main.py:draw")) == {"llm": "main.py", "Image-2": "main.py:draw"}
    assert list(programs("main.py", endpoint=("llm=main.py",))) == ["llm", "main"]


def test_a_folder_is_all_its_handlers_in_order(folder: Path) -> None:
    write(folder, "all/b.py", "all/a.py", "all/_private.py", "all/__init__.py", "all/test_a.py", "all/conftest.py")
    write(folder, "all/notes.txt", "all/deeper/c.py")
    for spelling in ("all", "all/", str(folder / "all")):
        assert list(programs(spelling)) == ["a", "b"]


@table(
    ("handlers", "endpoint", "words"),
    [
        ((), (), "nothing to serve"),
        (("missing.py",), (), "handler missing.py: there is no file missing.py"),
        (("missing.py:run",), (), "there is no file missing.py"),
        (("empty",), (), "no handler in empty"),
        (("echo",), (), "handler echo: there is no file or folder of this name"),
        (("no/such/folder",), (), "handler no/such/folder: there is no file or folder of this name"),
        (("package.module",), (), "write file.py, file.py:function, package.module:function or a directory"),
        (("package.1:run",), (), "write file.py"),
        (("h.pyc",), (), "handler h.pyc: it is compiled code: name its source"),
        (("lib/h.cpython-311.pyc:run",), (), "it is compiled code"),
        (("echo.py:",), (), "write file.py"),
        (("echo.py", "other/echo.py"), (), "two handlers for endpoint echo: echo.py and other/echo.py"),
        (("echo.py",), ("echo=other/echo.py",), "two handlers for endpoint echo: other/echo.py and echo.py"),
        ((), ("a=echo.py", "a=echo.py"), "two handlers for endpoint a"),
        ((), ("echo.py",), "'echo.py' can't be an endpoint id"),
        ((), ("a=",), "--endpoint a=: write ID=HANDLER, or ID alone for workers started elsewhere"),
        ((), ("=echo.py",), "'' can't be an endpoint id"),
        ((), ("a/b=echo.py",), "'a/b' can't be an endpoint id"),
        ((), ("é=echo.py",), "can't be an endpoint id"),
        (
            ("two words.py",),
            (),
            "'two words' can't be an endpoint id (letters, digits, - and _)",
        ),
        (("v1.2.py",), (), "'v1.2' can't be an endpoint id"),
    ],
)
def test_handlers_that_are_refused(
    folder: Path, handlers: tuple[str, ...], endpoint: tuple[str, ...], words: str
) -> None:
    write(folder, "echo.py", "other/echo.py", "two words.py", "v1.2.py")
    (folder / "empty").mkdir(exist_ok=True)
    assert words in refusal(handlers=list(handlers), endpoint=list(endpoint))


def test_an_endpoint_may_have_workers_of_elsewhere_or_a_command(folder: Path) -> None:
    services = read_settings(endpoint=["remote"], command=["sdk=python -u 'my handler.py'"]).services()
    assert services == {"remote": Service(), "sdk": Service(command=("python", "-u", "my handler.py"))}
    assert [str(service) for service in services.values()] == ["workers started elsewhere", "python -u my handler.py"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("sdk", "--command sdk: write ID=COMMAND, as in ID='python -u handler.py'"),
        ("sdk=", "--command sdk=: write ID=COMMAND"),
        ("sdk='half", "--command sdk='half: No closing quotation"),
        ("a/b=python", "'a/b' can't be an endpoint id"),
    ],
)
def test_a_command_is_refused(entry: str, words: str) -> None:
    assert words in refusal(command=[entry])


def test_lists_in_the_environment_are_json(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    write(folder, "echo.py")
    monkeypatch.setenv("RUNPOD_EMULATOR_ENDPOINT", json.dumps(["a=echo.py", "b=echo.py"]))
    assert list(read_settings().services()) == ["a", "b"]


def test_files_that_hide_a_module_are_found(folder: Path) -> None:
    write(folder, "echo.py", "queue.py", "json.py", "numpy.py", "deeper/random.py")
    assert [file.name for file in hidden_modules(str(folder / "echo.py"))] == ["json.py", "queue.py"]
    assert [file.name for file in hidden_modules(str(folder / "queue.py:run"))] == ["json.py", "queue.py"]
    assert [file.name for file in hidden_modules("deeper/random.py")] == ["random.py"]
    assert hidden_modules("package.module:run") == []


def test_a_model_is_named_by_an_option_or_in_a_table() -> None:
    assert read_settings(openai=["llm"], mock=["tts"]).services() == {
        "tts": Service(mock=True), "llm": Service(mock=True, openai=True),
    }  # fmt: skip
    configure("""\
        [endpoints.a]
        openai = true
        concurrency = 4
        [endpoints.b]
        mock = true
        openai = true
        [endpoints.c]
        mock = true
    """)
    found = plans()
    assert [str(plan.service) for plan in found.values()] == ["stubs and a model", "stubs and a model", "stubs"]
    assert [plan.concurrency for plan in found.values()] == [4, 30, 1]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("openai = true\nhandler = 'h.py'", "write one of handler, command and openai, not several"),
        ("openai = true\ntype = 'load_balancer'", "a load balancer needs a server"),
        ("openai = 'yes'", "endpoints.a.openai: Input should be a valid boolean"),
    ],
)
def test_a_model_is_refused(table: str, words: str) -> None:
    assert words in refused_file(f"[endpoints.a]\n{table}\n")


# Endpoints of the file


def test_tables_describe_endpoints_in_their_order(folder: Path) -> None:
    write(folder, "h.py")
    configure("""\
        [endpoints.handled]
        handler = "h.py:run"
        [endpoints.commanded]
        command = ["python", "-u", "my handler.py"]
        [endpoints.split]
        command = "python -u 'my handler.py'"
        [endpoints.module]
        handler = "package.module:run"
        [endpoints.elsewhere]
    """)
    command = ("python", "-u", "my handler.py")
    assert list(settings_for().services().items()) == [
        ("handled", Service("h.py:run")),
        ("commanded", Service(command=command)),
        ("split", Service(command=command)),
        ("module", Service("package.module:run")),
        ("elsewhere", Service()),
    ]


@pytest.mark.parametrize("text", ["[endpoints.x]", "endpoints.x = {}", "[endpoints.x]\nworkers_max = 2"])
def test_a_table_alone_declares_workers_started_elsewhere(text: str) -> None:
    configure(text)
    assert settings_for().services() == {"x": Service()}


@pytest.mark.parametrize("endpoint", ["a", "A-1_b", "0", "-", "handler"])
def test_an_endpoint_id_has_letters_digits_and_dashes(endpoint: str) -> None:
    configure(f"[endpoints.{endpoint}]\n")
    assert list(settings_for().services()) == [endpoint]


def test_the_servers_handlers_are_served_with_the_tables(folder: Path) -> None:
    write(folder, "h.py", "i.py")
    configure("""\
        [server]
        handlers = ["h.py"]
        endpoint = ["x=i.py", "y"]
        command = ["c=true"]
        [endpoints.z]
        handler = "i.py"
    """)
    assert settings_for().services() == {
        "x": Service("i.py"),
        "y": Service(),
        "c": Service(command=("true",)),
        "h": Service("h.py"),
        "z": Service("i.py"),
    }


def test_a_table_without_a_handler_has_options_for_a_handler_of_the_server(folder: Path) -> None:
    write(folder, "h.py")
    configure("[server]\nhandlers = ['h.py']\n[endpoints.h]\nworkers_max = 7\n")
    (plan,) = plans().values()
    assert (plan.service, plan.settings.workers_max) == (Service("h.py"), 7)


IMPOSSIBLE = {
    "both": ("handler = 'h.py'\ncommand = 'true'", "write one of handler, command and mock"),
    "no words": ("command = ''", "write a program and its arguments"),
    "no list": ("command = []", "write a program and its arguments"),
    "blank": ("command = '  '", "write a program and its arguments"),
    "half": ('command = "sh \'half"', "No closing quotation"),
    "missing": ("handler = 'missing.py'", "handler missing.py: there is no file missing.py"),
    "missing function": ("handler = 'missing.py:run'", "there is no file missing.py"),
    "no file": ("handler = 'h'", "handler h: there is no file or folder of this name"),
    "empty": ("handler = ''", "there is no file or folder of this name"),
    "a module alone": ("handler = 'package.module'", "write file.py, file.py:function, package.module:function"),
}


@table("case", IMPOSSIBLE)
def test_an_impossible_service_is_told_with_its_table(folder: Path, case: str) -> None:
    write(folder, "h.py")
    lines, words = IMPOSSIBLE[case]
    refused = refused_file(f"# a comment\n[endpoints.a]\nworkers_max = 1\n[endpoints.x]\n{lines}\n")
    assert refused.startswith("runpod-emulator.toml:")
    assert words in refused


@pytest.mark.parametrize("case", [case for case in IMPOSSIBLE if case != "both"])
def test_an_impossible_service_is_told_with_key_and_line(folder: Path, case: str) -> None:
    write(folder, "h.py")
    lines, _ = IMPOSSIBLE[case]
    key = lines.partition(" ")[0]
    assert refused_file(f"[endpoints.x]\n\n{lines}\n").startswith(f"runpod-emulator.toml:3: endpoints.x.{key}: ")


@pytest.mark.parametrize("command", ["['']", "['', 'a']", "\"''\""])
def test_a_program_has_a_name(command: str) -> None:
    assert "command" in refused_file(f"[endpoints.x]\ncommand = {command}\n")


@table("endpoint", ["a b", "a.b", "é", "a/b", "a\\nb"])
@table("line", ["handler = 'h.py'", "command = 'true'", ""])
def test_a_bad_endpoint_id_is_told_with_its_line(folder: Path, endpoint: str, line: str) -> None:
    write(folder, "h.py")
    refused = refused_file(f'[server]\n\n[endpoints."{endpoint}"]\n{line}\n')
    assert "can't be an endpoint id (letters, digits, - and _)" in refused
    assert refused.startswith("runpod-emulator.toml:3: ")


@pytest.mark.parametrize("line", ["command = 'true'", "workers_max = 7"])
def test_the_empty_id_is_no_server(folder: Path, line: str) -> None:
    write(folder, "h.py")
    configure(f'[endpoints.""]\n{line}\n')
    settings = settings_for("h.py")
    assert (settings.command, settings.workers_max) == ([], None)


@pytest.mark.parametrize("line", ["handler = 'h.py'", ""])
def test_the_empty_id_is_refused(folder: Path, line: str) -> None:
    write(folder, "h.py")
    assert refused_file(f'\n[endpoints.""]\n{line}\n').startswith("runpod-emulator.toml:2: '' can't be an endpoint id")


@pytest.mark.parametrize("line", ["handler = 'h.py'", ""])
def test_a_bad_endpoint_id_of_the_file_is_not_told_of_a_flag(folder: Path, line: str) -> None:
    write(folder, "h.py")
    assert "--endpoint" not in refused_file(f'[endpoints."a b"]\n{line}\n')


def test_a_folder_is_no_handler_of_a_table(folder: Path) -> None:
    write(folder, "src/h.py")
    assert "there is no file or folder" not in refused_file("[endpoints.x]\nhandler = 'src'\n")


def test_two_that_serve_one_endpoint_are_refused(folder: Path) -> None:
    write(folder, "h.py", "i.py")
    refused = refused_file("[server]\nhandlers = ['h.py']\n\n[endpoints.h]\nhandler = 'i.py'\n")
    assert refused == "runpod-emulator.toml:4: something else serves h already: h.py"


@pytest.mark.parametrize(
    "line",
    ["handlers = ['missing.py']", "handlers = ['empty']", "endpoint = ['x=']", "endpoint = ['a b']", "command = ['x']"],
)
def test_what_the_server_cannot_serve_is_told_with_key_and_line(folder: Path, line: str) -> None:
    (folder / "empty").mkdir(exist_ok=True)
    key = line.partition(" ")[0]
    assert refused_file(f"[server]\n\n{line}\n").startswith(f"runpod-emulator.toml:3: server.{key}")


# Flags and the file together


@pytest.mark.parametrize(
    ("words", "served"),
    [
        (("i.py",), {"i": Service("i.py")}),
        (("--endpoint", "x=i.py"), {"x": Service("i.py")}),
        (("--endpoint", "x"), {"x": Service()}),
        (("--command", "x=true"), {"x": Service(command=("true",))}),
        (("--endpoint", "a=i.py"), {"a": Service("i.py")}),
    ],
    ids=str,
)
def test_what_a_flag_names_is_served_instead_of_the_tables(
    folder: Path, words: tuple[str, ...], served: dict[str, Service]
) -> None:
    write(folder, "h.py", "i.py")
    configure("[endpoints.a]\nhandler = 'h.py'\n[endpoints.b]\n[endpoints.c]\ncommand = 'true'\n")
    assert settings_for(*words).services() == served


@pytest.mark.parametrize("name", ["HANDLERS", "ENDPOINT", "COMMAND"])
def test_what_a_variable_names_is_served_instead_of_the_tables(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write(folder, "h.py", "x.py")
    configure("[endpoints.a]\nhandler = 'h.py'\n")
    monkeypatch.setenv(f"RUNPOD_EMULATOR_{name}", json.dumps(["x.py" if name == "HANDLERS" else "x=x.py"]))
    assert list(settings_for().services()) == ["x"]


@pytest.mark.parametrize("words", [("i.py",), ("--endpoint", "i=i.py"), ("--command", "i=true"), ("--endpoint", "i")])
def test_a_table_still_has_options_for_what_a_flag_names(folder: Path, words: tuple[str, ...]) -> None:
    write(folder, "h.py", "i.py")
    configure("[endpoints.i]\nhandler = 'h.py'\nworkers_max = 7\nenvironment = { A = '1' }\n[endpoints.b]\n")
    (plan,) = plans(*words).values()
    assert plan.settings.workers_max == 7
    assert plan.environment == {"A": "1"}
    assert plan.service.handler != "h.py"


def test_a_wrong_table_does_not_matter_when_a_flag_names_something_else(folder: Path) -> None:
    write(folder, "i.py")
    configure("[endpoints.a]\nhandler = 'missing.py'\n")
    assert list(plans("i.py")) == ["i"]


def test_handlers_of_a_flag_replace_those_of_the_server(folder: Path) -> None:
    write(folder, "h.py", "i.py")
    configure("[server]\nhandlers = ['h.py']\n")
    assert list(settings_for("i.py").services()) == ["i"]


@pytest.mark.parametrize("line", ["endpoint = ['x=h.py']", "command = ['x=true']"])
def test_what_a_flag_names_is_served_instead_of_everything_in_the_file(folder: Path, line: str) -> None:
    write(folder, "h.py", "i.py")
    configure(f"[server]\n{line}\n")
    assert list(settings_for("i.py").services()) == ["i"]


# The checks themselves


@pytest.mark.parametrize("handler", ["h.py", "h.py:run", "h.py:Model.run", "package.module:run", "module:Model.run"])
def test_a_handler_that_is_written_as_one_passes(folder: Path, handler: str) -> None:
    write(folder, "h.py")
    assert checked_handler(handler) == handler


def test_an_id_that_is_one_passes() -> None:
    assert checked_id("a-B_9", "h.py") == "a-B_9"
    with pytest.raises(ConfigurationError, match=r"name one with --endpoint ID=h\.py"):
        checked_id("a\n", "h.py")
