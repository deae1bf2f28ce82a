"""Starts a worker process: `python RUNNER_FOLDER [--leash FD] --handler SPEC --channel FD [-- ARGUMENT ...]`.

Or a program: `python RUNNER_FOLDER [--leash FD] [--isolate FD] --program WORD ...`.
Or an ASGI application: `python RUNNER_FOLDER [--leash FD] --asgi SPEC PORT`.
With a leash it ends with the server, and with it all that it began: `keeper.py` says how.

The folder is loaded as a package under a private name and leaves `sys.path`, so that
none of its modules can be imported, or shadow one, in the handler's code.

Any Python can read this file, so that one that is too old is told what is wrong.
"""

import os
import sys

if sys.version_info < (3, 8):  # noqa: UP036 - the handler's interpreter, not the emulator's
    sys.exit("A worker process needs Python 3.8 or newer; %s is %s." % (sys.executable, sys.version.split()[0]))

from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location

PACKAGE = "_runpod_emulator_worker"

if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    spec = spec_from_file_location(PACKAGE, os.path.join(here, "__init__.py"), submodule_search_locations=[here])
    assert spec is not None and spec.loader is not None
    package = sys.modules[PACKAGE] = module_from_spec(spec)
    spec.loader.exec_module(package)

    if sys.argv[1:2] == ["--leash"]:
        import_module(PACKAGE + ".keeper").keep(int(sys.argv[2]))
        del sys.argv[1:3]
    if sys.argv[1:2] == ["--isolate"]:
        import_module(PACKAGE + ".isolation").enter(int(sys.argv[2]))
        del sys.argv[1:3]
    if sys.argv[1:2] == ["--program"]:
        import_module(PACKAGE + ".program").main(sys.argv[2:])
    if sys.argv[1:2] == ["--asgi"]:
        sys.exit(import_module(PACKAGE + ".asgi").main(sys.argv[2:]))
    import_module(PACKAGE + ".worker").main(sys.argv[1:])
