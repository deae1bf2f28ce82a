"""The light `runpod`: what it knows, when it gives way to the installed package, and that nothing is loaded twice."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.workers.runner.frames import Kind

PACKAGE = {
    "__init__.py": """
        from . import serverless
        from .version import __version__
        __all__ = ["serverless", "Endpoint", "api_key"]
        api_key = None
        class Endpoint:
            def key(self):
                import runpod
                return runpod.api_key
        print("loading runpod")
        """,
    "version.py": "__version__ = '9.9.9'",
    "serverless/__init__.py": """
        from .modules.rp_progress import progress_update
        from . import utils
        __all__ = ["start", "progress_update", "utils"]
        def start(config):
            raise AssertionError("the installed start was called")
        print("loading runpod.serverless")
        """,
    "serverless/modules/__init__.py": "",
    "serverless/modules/rp_progress.py": """
        def progress_update(job, progress):
            raise AssertionError("the installed progress_update was called")
        """,
    "serverless/modules/rp_late.py": """
        from .rp_progress import progress_update
        print("loading rp_late")
        """,
    "serverless/utils/__init__.py": "from . import rp_upload\nprint('loading runpod.serverless.utils')",
    "serverless/utils/rp_upload.py": "def upload_image():\n    return 'uploaded'\nprint('loading rp_upload')",
}
HANDLER = "\ndef handler(job):\n    return eval(job['input'])\n"


@pytest.fixture
def package(tmp_path: Path) -> None:
    """A package of the shape of the real one, which says when it is loaded."""
    for name, source in PACKAGE.items():
        path = tmp_path / "runpod" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))


def value(child: Any, expression: str) -> Any:
    report = child.run(expression)
    assert report.error is None, report.error
    return json.loads(report.output)


@pytest.mark.usefixtures("package")
def test_what_handlers_need_costs_nothing(start: Any) -> None:
    child = start(
        """
        import importlib, importlib.util, inspect, sys
        import runpod
        import runpod.serverless
        import runpod.serverless as serverless
        from runpod import serverless
        from runpod.serverless import start, progress_update

        runpod.serverless.start
        runpod.serverless.progress_update
        runpod.api_key = "key"
        runpod.api_key
        assert importlib.util.find_spec("runpod") is not None
        assert importlib.import_module("runpod.serverless") is runpod.serverless is serverless
        inspect.getmodule(inspect.currentframe())  # looks at every module
        hasattr(runpod, "__file__"), dir(runpod), repr(runpod)

        def handler(job):
            return sorted(name for name in sys.modules if name.startswith("runpod"))
        """
    )
    child.ready()
    assert json.loads(child.run().output) == ["runpod", "runpod.serverless"]
    assert child.log == ""


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    "source",
    [
        "import runpod\nrunpod.__version__",
        "from runpod import Endpoint",
        "from runpod import *\nEndpoint",
        "from runpod.serverless import *\nutils",
        "import runpod.serverless.utils",
        "import runpod.serverless.utils.rp_upload",
        "from runpod.serverless.utils import rp_upload",
        "from runpod.serverless.modules.rp_progress import progress_update",
        "import importlib.util\nassert importlib.util.find_spec('runpod.serverless.utils').name",
        "import importlib.util\nassert importlib.util.find_spec('runpod.serverless.nothing') is None",
        "try:\n    import runpod.nothing\nexcept ImportError as error:\n    assert error.name == 'runpod.nothing'",
        "try:\n    from runpod import nothing\nexcept ImportError as error:\n    assert 'cannot import' in str(error)",
        "import runpod\nassert not hasattr(runpod, 'nothing')",
        "import runpod, threading\n"
        "threads = [threading.Thread(target=lambda: runpod.serverless.utils.rp_upload) for _ in range(8)]\n"
        "[thread.start() for thread in threads], [thread.join() for thread in threads]",
    ],
)
def test_any_other_name_loads_the_package_once(start: Any, source: str) -> None:
    child = start(f"before = __import__('runpod')\n{source}\nimport runpod\nimport runpod.serverless.utils{HANDLER}")
    child.ready()
    assert value(child, "runpod.__version__") == "9.9.9"
    assert value(child, "__import__('sys').modules['runpod'] is runpod and runpod is not before")
    modules = "__import__('sys').modules"
    assert value(child, f"{modules}['runpod.serverless.utils'] is runpod.serverless.utils is before.serverless.utils")
    assert value(child, "before.serverless.utils.rp_upload.upload_image()") == "uploaded"
    assert value(child, "runpod.serverless.start == before.serverless.start")
    loaded = ["rp_upload", "runpod.serverless.utils", "runpod.serverless", "runpod"]
    assert child.log.splitlines() == [f"loading {name}" for name in loaded]


@pytest.mark.usefixtures("package")
def test_its_two_functions_are_ours_wherever_the_package_has_them(start: Any) -> None:
    child = start(
        """
        import runpod
        early = runpod.serverless
        runpod.Endpoint
        import runpod as late
        from runpod.serverless.modules import rp_late, rp_progress
        places = [early, late.serverless, rp_late, rp_progress]

        def handler(job):
            for number, place in enumerate(places):
                place.progress_update(job, number)
            return "done"

        late.serverless.start({"handler": handler})
        """
    )
    child.ready()
    child.job()
    assert [child.expect(Kind.PROGRESS) for _ in range(4)] == [b"0", b"1", b"2", b"3"]
    assert child.done().output == b'"done"'
    assert child.log.count("loading rp_late") == 1


@pytest.mark.usefixtures("package")
def test_what_was_set_before_and_after_holds_everywhere(start: Any) -> None:
    child = start(
        """
        import runpod
        early = runpod
        runpod.api_key = "first"
        light = runpod.api_key
        key = runpod.Endpoint().key

        def handler(job):
            found = [light, key(), early.api_key]
            early.api_key = "second"
            import runpod as late
            found += [key(), late.api_key]
            late.api_key = "third"
            return [*found, early.api_key, early.serverless is late.serverless]
        """
    )
    child.ready()
    assert json.loads(child.run().output) == ["first", "first", "first", "second", "second", "third", True]


BARE = (sys.executable, "-S")


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("import runpod\nrunpod.Endpoint", "runpod.Endpoint"),
        ("from runpod import RunPodLogger", "runpod.RunPodLogger"),
        ("from runpod.serverless.utils import rp_upload", "runpod.serverless.utils"),
        ("import runpod.serverless.modules.rp_logger", "runpod.serverless.modules"),
    ],
)
def test_a_package_that_is_missing_is_named(start: Any, source: str, wanted: str) -> None:
    child = start(source + HANDLER, python=BARE)
    told = child.broken()
    assert f"ModuleNotFoundError: The handler uses {wanted}, and the runpod package is not installed for" in told
    assert f"{sys.executable} -m pip install runpod" in told
    assert "runpod_stub.py" not in told


def test_without_the_package_start_and_progress_work_all_the_same(start: Any) -> None:
    child = start(
        """
        import importlib.util
        import runpod
        assert importlib.util.find_spec("runpod") is not None
        try:
            from runpod import RunPodLogger
        except ImportError:
            RunPodLogger = None

        def handler(job):
            runpod.serverless.progress_update(job, RunPodLogger)
            raise ValueError

        runpod.serverless.start({"handler": handler})
        """,
        python=BARE,
    )
    assert child.ready()["runpod_version"] == "2.0.0rc2"
    child.job()
    assert child.expect(Kind.PROGRESS) == b"null"
    assert json.loads(child.done().error)["runpod_version"] == "2.0.0rc2"


def test_a_package_that_cannot_be_loaded_says_why(start: Any, tmp_path: Path) -> None:
    (tmp_path / "runpod.py").write_text("import a_module_that_it_needs")
    told = start("from runpod import Endpoint").broken()
    assert "ModuleNotFoundError: No module named 'a_module_that_it_needs'" in told
    assert f'File "{tmp_path}/runpod.py", line 1' in told


def test_the_version_is_that_of_the_installed_package(start: Any, tmp_path: Path) -> None:
    (tmp_path / "runpod-1.7.9.dist-info").mkdir()
    child = start(HANDLER)
    assert child.ready()["runpod_version"] == "1.7.9"
    assert json.loads(child.run("1 / 0").error)["runpod_version"] == "1.7.9"


def test_the_official_package(start: Any) -> None:
    pytest.importorskip("runpod")
    child = start(
        """
        import sys
        import runpod
        early = runpod

        def handler(job):
            import runpod.serverless.utils
            from runpod.serverless.utils import rp_download, rp_upload
            from runpod.serverless.modules import rp_logger
            from runpod.serverless.utils.rp_validator import validate
            from runpod.serverless.modules.rp_progress import progress_update
            progress_update(job, "real")
            rp_logger.RunPodLogger().info("logged")
            utils = sys.modules["runpod.serverless.utils"]
            return [
                utils is runpod.serverless.utils is early.serverless.utils,
                utils.upload_file_to_bucket is rp_upload.upload_file_to_bucket,
                sys.modules["runpod"] is runpod,
                callable(validate),
                runpod.serverless.start == early.serverless.start,
                runpod.__version__,
            ]

        runpod.serverless.start({"handler": handler})
        """
    )
    version = child.ready()["runpod_version"]
    child.job()
    assert child.expect(Kind.PROGRESS) == b'"real"'
    assert json.loads(child.done().output) == [True] * 5 + [version]
    child.logged("INFO   | logged\n")
