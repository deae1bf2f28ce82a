"""Every form of a SPEC, and every way in which a handler cannot be served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.workers.runner.frames import Kind
from runpod_emulator.workers.runner.loading import split

ECHO = "def handler(job):\n    return job['input']\n"
HERE = """
import sys
import runpod

def handler(job):
    main = sys.modules["__main__"]
    return [__name__, main is sys.modules[__name__], __file__, sys.argv, sys.path[0], __spec__ is None, helper.VALUE]

import helper
if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
"""


@pytest.mark.parametrize(
    ("spec", "place", "name"),
    [
        ("handler.py", "handler.py", ""),
        ("src/handler.py", "src/handler.py", ""),
        ("handler.py:run", "handler.py", "run"),
        ("handler.py:Model.run", "handler.py", "Model.run"),
        ("package.module:run", "package.module", "run"),
        ("C:\\work\\handler.py", "C:\\work\\handler.py", ""),
        ("C:\\work\\handler.py:run", "C:\\work\\handler.py", "run"),
        ("odd:name/handler.py", "odd:name/handler.py", ""),
        ("odd:name/handler.py:run", "odd:name/handler.py", "run"),
        (":run", ":run", ""),
        ("handler.py:", "handler.py:", ""),
        ("handler.py:1", "handler.py:1", ""),
    ],
)
def test_a_spec_is_split_at_its_last_colon_if_a_name_follows(spec: str, place: str, name: str) -> None:
    assert split(spec) == (place, name)


def test_a_file_whose_name_looks_like_a_function_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd:handler.py").write_text("")
    assert split("odd:handler.py") == ("odd:handler.py", "")


def test_a_file_runs_as_python_runs_it(start: Any, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "helper.py").write_text("VALUE = 5\n")
    (tmp_path / "src" / "serve.py").write_text(HERE)
    child = start(spec="src/serve.py", arguments=("--flag", "x"))
    child.ready()
    folder = str(tmp_path / "src")
    argv = '["src/serve.py", "--flag", "x"]'
    expected = f'["__main__", true, "{folder}/serve.py", {argv}, "{folder}", true, 5]'
    assert child.run().output.decode() == expected


def test_its_future_is_its_own(start: Any) -> None:
    child = start("def f(x: 1): pass\ndef handler(job):\n    return f.__annotations__")
    child.ready()
    assert child.run().output == b'{"x": 1}'


@pytest.mark.parametrize("spec", ["handler.py", "handler.py:handler", "handler:handler"])
def test_a_traceback_quotes_the_lines_that_run_though_the_file_is_another_by_then(
    start: Any, tmp_path: Path, spec: str
) -> None:
    child = start("def handler(job):\n    raise ValueError('old')\n", spec=spec)
    child.ready()
    (tmp_path / "handler.py").write_text("def handler(job):\n    raise KeyError('the new line')\n")
    error = child.run("x").error or ""
    assert "raise ValueError('old')" in error
    assert "the new line" not in error


@pytest.mark.parametrize("source", [ECHO, ECHO + "import runpod\nrunpod.serverless.start({'handler': handler})"])
def test_a_file_is_served_with_and_without_start(start: Any, source: str) -> None:
    child = start(source)
    child.ready()
    assert child.run("x").output == b'"x"'


def test_a_function_of_a_file(start: Any, tmp_path: Path) -> None:
    child = start(
        """
        import runpod

        class Model:
            def run(self, job):
                return [__name__, runpod.serverless is not None]

        model = Model()
        """,
        spec=f"{tmp_path}/handler.py:model.run",
    )
    child.ready()
    assert child.run().output == b'["handler", true]'


def test_the_config_that_a_file_gives_to_start_holds_for_its_handler(start: Any) -> None:
    source = """
        import runpod

        def stream(job):
            yield "a"

        def other(job):
            yield "b"

        runpod.serverless.start({
            "handler": stream,
            "return_aggregate_stream": True,
            "refresh_worker": True,
            "concurrency_modifier": lambda current: 3,
        })
        """
    child = start(source, spec="handler.py:stream")
    assert child.ready()["concurrency"] == 3
    child.job()
    chunks, report = child.chunks()
    assert (chunks, report.output, report.stop_worker) == (["a"], b'["a"]', True)

    child = start(source, spec="handler.py:other")
    assert child.ready()["concurrency"] == 1
    child.job()
    chunks, report = child.chunks()
    assert (chunks, report.output, report.stop_worker) == (["b"], b"[]", False)


def test_a_function_of_a_module_in_the_working_directory(start: Any, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "part.py").write_text("from . import __name__ as parent\n" + ECHO)
    child = start(spec="package.part:handler")
    child.ready()
    assert child.run("x").output == b'"x"'


def test_no_module_of_ours_is_in_the_way(start: Any, tmp_path: Path) -> None:
    for name in ("frames", "loop", "worker", "results"):
        (tmp_path / f"{name}.py").write_text(f"NAME = 'the handler has its own {name}'\n")
    child = start(
        """
        import frames, loop, worker, results, importlib.util

        def handler(job):
            return [frames.NAME, importlib.util.find_spec("runpod_stub") is None]
        """
    )
    child.ready()
    assert child.run().output == b'["the handler has its own frames", true]'


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = 1", "handler.py ended without calling runpod.serverless.start, and it defines no function named handler"),
        ("handler = 5", "handler.py ended without calling runpod.serverless.start, and it defines no function named"),
        ("def handler(:", "SyntaxError"),
        ("import nothing_like_this", "ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import runpod\nrunpod.serverless.start(print)", "TypeError: 'builtin_function_or_method' object does not"),
        (
            "import runpod\nrunpod.serverless.start({'handler': print, 'concurrency_modifier': lambda now: None})",
            "TypeError: unsupported operand type(s) for -: 'NoneType' and 'int'",
        ),
        (
            "import runpod\nrunpod.serverless.start({'handler': print, 'concurrency_modifier': lambda now: 1 / 0})",
            "ZeroDivisionError: division by zero",
        ),
        (
            "import asyncio, runpod\nasync def main():\n    runpod.serverless.start({'handler': print})\n"
            "asyncio.run(main())",
            "RuntimeError: asyncio.run() cannot be called from a running event loop",
        ),
    ],
)
def test_a_broken_file(start: Any, source: str, reason: str) -> None:
    told = start(source).broken()
    assert reason in told
    assert "runner/" not in told
    assert "importlib" not in told


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("nowhere.py", "There is no handler file nowhere.py in "),
        ("handler.py:handler.nothing", "handler.py has no handler.nothing."),
        ("handler.py:VALUE", "handler.py:VALUE is no function: 5"),
        ("handler:nothing", "handler has no nothing."),
        ("nowhere.part:run", "ModuleNotFoundError: No module named 'nowhere'"),
        ("json.py:run", "json.py has the name of a module that is loaded already (json): rename the file."),
    ],
)
def test_a_spec_that_leads_nowhere(start: Any, tmp_path: Path, spec: str, reason: str) -> None:
    (tmp_path / "json.py").write_text(ECHO)
    told = start(f"VALUE = 5\n{ECHO}", spec=spec).broken()
    assert reason in told
    assert "runner/" not in told


def test_a_traceback_shows_the_lines_of_the_handler(start: Any, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def fail():\n    raise ValueError('deep down')\n")
    told = start("import helper\nhelper.fail()").broken().splitlines()
    assert told[0] == "Traceback (most recent call last):"
    assert told[1] == f'  File "{tmp_path}/handler.py", line 2, in <module>'
    assert told[2] == "    helper.fail()"
    assert told[-1] == "ValueError: deep down"


def test_start_from_another_thread_is_refused_at_once(start: Any) -> None:
    child = start(
        """
        import threading
        import runpod

        thread = threading.Thread(target=runpod.serverless.start, args=({"handler": print},), name="second")
        thread.start()
        thread.join()
        """
    )
    assert (
        child.broken() == "runpod.serverless.start must be called from the main thread, and this is the thread second."
    )


def test_a_thread_left_behind_does_not_keep_a_broken_worker_alive(start: Any) -> None:
    source = "import threading\nthreading.Thread(target=threading.Event().wait).start()\nraise ValueError('broken')"
    assert "ValueError: broken" in start(source).broken()


def test_a_file_named_like_a_standard_module_is_warned_of(start: Any, tmp_path: Path) -> None:
    (tmp_path / "concurrent.py").write_text(ECHO)
    child = start(spec="concurrent.py")
    child.ready()
    assert "concurrent.py has the name of the standard module concurrent" in child.logged("rename the file.\n")


def test_output_of_a_broken_file_is_not_lost(start: Any) -> None:
    child = start("print('before', end='')\n1 / 0")
    assert "ZeroDivisionError" in child.broken()
    assert child.log == "before"


def test_what_start_raised_may_be_caught(start: Any) -> None:
    child = start("import runpod\ntry:\n    runpod.serverless.start(None)\nexcept TypeError:\n    pass\n" + ECHO)
    child.ready()
    assert child.run(1).output == b"1"


def test_usage(start: Any) -> None:
    child = start(spec="handler.py", python=("/bin/sh", "-c", 'exec "$0" "$1"', __import__("sys").executable))
    assert child.wait() == 1
    assert child.log.startswith("usage: runner --handler SPEC --channel FD")
    assert Kind.BROKEN not in {frame.kind for frame in child.frames}
