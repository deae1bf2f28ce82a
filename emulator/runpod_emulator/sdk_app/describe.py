"""Prints what is in the apps of a source, as JSON: `python describe.py ROOT PLACE [ATTRIBUTE]`.

PLACE is the absolute path of a file or folder, or a module below ROOT. The answer is `{"apps": [MANIFEST …],
"skipped": [text …]}`, each manifest as the SDK itself writes it for a deployment, with the app's environment as
`env`; or `{"refused": text}`. It comes alone on standard output: what the app prints goes to standard error.
"""

import importlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any

FRAMES = 5
"""Places in the user's code that a traceback names, the last ones."""
DISCOVERY = "RUNPOD_DISCOVERY_SCAN"
"""While this is set, the SDK refuses calls of functions: they would be made by an import."""
NEEDED = "an app needs runpod 2.0: {python} -m pip install 'runpod>=2.0.0rc2', or name its interpreter with --python"


class Refused(Exception):
    """The source has no app that can be served; the text says it all."""


class _Skipped(logging.Handler):
    """Keeps the lines by which the SDK says which files of a folder it leaves out."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(record.getMessage().partition("\n")[0])


def describe(root: str, place: str, attribute: str) -> dict[str, Any]:
    """What is in the apps of a source; raises Refused."""
    _check_sdk()
    sys.path.insert(0, root)
    os.environ[DISCOVERY] = "1"
    skipped = _Skipped()
    logging.getLogger("runpod.apps.discovery").addHandler(skipped)
    apps = _of_path(Path(place), attribute) if os.path.isabs(place) else _of_module(place, attribute, root)
    if not apps:
        named = os.path.relpath(place) if os.path.isabs(place) else place
        raise Refused(f"there is no app in {named}: write app = runpod.App('name'), and functions below @app.queue()")
    return {"apps": [_manifest(app, root) for app in apps], "skipped": skipped.lines}


def _check_sdk() -> None:
    needed = NEEDED.format(python=sys.executable)
    if importlib.util.find_spec("runpod") is None:
        raise Refused(f"{sys.executable} has no runpod; {needed}")
    if importlib.util.find_spec("runpod.apps") is None:
        version = importlib.metadata.version("runpod")
        raise Refused(f"{sys.executable} has runpod {version}, which knows no apps; {needed}")


def _of_path(path: Path, attribute: str) -> list[Any]:
    discovery = importlib.import_module("runpod.apps.discovery")
    try:
        apps: list[Any] = discovery.discover_apps(path)
    except discovery.DiscoveryError as error:
        raise Refused(_why(error, path)) from error
    if not attribute:
        return apps
    modules = (one for one in list(sys.modules.values()) if getattr(one, "__file__", None) == str(path.resolve()))
    return [_attribute(next(modules), attribute, os.path.relpath(path))]


def _of_module(name: str, attribute: str, root: str) -> list[Any]:
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise Refused(f"{name} cannot be imported:\n{_traceback(error)}") from error
        found = None
    except Exception as error:
        raise Refused(f"{name} cannot be imported:\n{_traceback(error)}") from error
    if found is None:
        raise Refused(f"there is no module {name} in {root}, nor among the packages of {sys.executable}")
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise Refused(f"{name} cannot be imported:\n{_traceback(error)}") from error
    return [_attribute(module, attribute, name)]


def _attribute(module: Any, name: str, place: str) -> Any:
    app_class = importlib.import_module("runpod.apps").App
    found = getattr(module, name, None)
    if isinstance(found, app_class):
        return found
    apps = [key for key, value in vars(module).items() if isinstance(value, app_class)]
    known = f"; its apps are {', '.join(apps)}" if apps else "; it has no app"
    if found is None:
        raise Refused(f"{place} has no {name}{known}")
    raise Refused(f"{name} of {place} is no runpod.App but {type(found).__name__}{known}")


def _manifest(app: Any, root: str) -> dict[str, Any]:
    deploy = importlib.import_module("runpod.apps.deploy")
    try:
        manifest: dict[str, Any] = deploy.build_manifest(app, Path(root))
    except Exception as error:
        raise Refused(f"app {app.name}: {error}") from error
    return {**manifest, "env": app.env}


def _why(error: BaseException, path: Path) -> str:
    """Why the SDK's own search has failed: with a traceback for a file, with its text for a folder."""
    cause = error.__cause__
    if cause is None:
        return str(error)
    return f"{os.path.relpath(path)} cannot be imported:\n{_traceback(cause)}"


def _traceback(error: BaseException) -> str:
    """A short traceback: the last places in code that is neither ours nor the SDK's."""
    own = (__file__, "<frozen importlib", importlib.__file__, _folder_of_sdk())
    shown = traceback.TracebackException(type(error), error, error.__traceback__)
    shown.__cause__ = shown.__context__ = None
    frames = [frame for frame in shown.stack if not frame.filename.startswith(own)]
    shown.stack[:] = frames[-FRAMES:]
    return "".join(shown.format()).rstrip()


def _folder_of_sdk() -> str:
    return os.path.dirname(str(importlib.import_module("runpod").__file__)) + os.sep


def main() -> None:
    """Answer on what was standard output; threads that the app has left do not keep the process."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path.pop(0)  # our own folder, where no module of the app is to be found
    root, place, *more = sys.argv[1:]
    try:
        answer = describe(root, place, more[0] if more else "")
    except Refused as refused:
        answer = {"refused": str(refused)}
    with answers:
        json.dump(answer, answers)
    os._exit(0)


if __name__ == "__main__":
    main()
