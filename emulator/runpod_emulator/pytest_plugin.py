"""The pytest plugin: the fixture `runpod_emulator`, the mark of the same name, and what keeps tests off the service."""

from __future__ import annotations

import functools
import importlib
import os
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from runpod_emulator.plugin import report
from runpod_emulator.plugin.guard import Guard, RealServiceCalled
from runpod_emulator.plugin.redirect import Redirect, Reserved, Settings, pointed_by_exec

if TYPE_CHECKING:
    from runpod_emulator.testing import Emulator, EmulatorFactory

_FIXTURE = "runpod_emulator"
_FACTORY = "runpod_emulator_factory"
_MARK = """runpod_emulator(*endpoints, clock=CLOCK, **options): \
an emulator of its own for this test, with options of `runpod-emulator serve`"""
_EARLY = """point RunPod clients at the emulator before test files are imported, to catch those that are made there; \
false: only while a test uses the fixture"""
_GUARD = "let requests to RunPod's own hosts fail while a test uses the fixture"
_SEED = f"{_FIXTURE}_seed"
_SEED_HELP = "seed of ids and dice of tests that use the fixture; without it each test has one made of its name"
_ELSEWHERE = (
    f"clients that were made at import call {{at}}, an emulator that still lives, such as one of {_FACTORY}, and not "
    "that of this test, {own}: make the client in the test, or let the other one end before"
)
_HERE = (None, "127.0.0.1", "localhost", "0.0.0.0")
"""Hosts to listen on that a client reaches by 127.0.0.1."""
_RUN = pytest.StashKey["Run"]()


class Run:
    """What the plugin holds for one run of pytest."""

    def __init__(self, early: bool, guarded: bool) -> None:
        self.guard = Guard()
        self._guarded = guarded
        self._port = Reserved() if early else None
        self.redirect = Redirect(self._port.number) if self._port else None
        self._shared: Emulator | None = None
        if self._port and self.redirect:
            self.redirect.on()
            self._open_gap()

    def shared(self, seed: int) -> Emulator:
        """The emulator of tests without options, cleared; ids and dice come from the seed."""
        from runpod_emulator.testing import Emulator

        if self._shared is not None:
            self._shared.drop_namespaces()
            self._shared.reset(seed)
            if not self._shared.clock.is_true:
                self.end_shared()  # it was taken to another time, and not every test lives there
        if self._shared is None:
            self._shared = Emulator(port=self._lend(), seed=seed).start()
        return self._shared

    def own(self, *endpoints: str, **options: Any) -> Emulator:
        """An emulator with options; where clients were pointed at early, if it may be, and nobody else is there."""
        from runpod_emulator.testing import Emulator

        if self._port and "port" not in options and options.get("host") in _HERE:
            self.end_shared()
            options["port"] = self._lend()
        return Emulator(*endpoints, **options)

    def elsewhere(self, emulator: Emulator) -> str:
        """What to say where clients that were made early meet another emulator than a test's own; "" where not."""
        if self._port is None or self.redirect is None or self._port.is_held:
            return ""
        at, own = self.redirect.base_url, emulator.link.server.base_url
        return "" if at == own else _ELSEWHERE.format(at=at, own=own)

    def end_shared(self) -> None:
        """Stop the emulator of tests without options."""
        if self._shared is not None:
            self._shared.stop()
            self._shared = None
            self.take_back()

    def take_back(self) -> None:
        """Hold the port again, after an emulator's end."""
        if self._port and self._shared is None:
            self._port.take_back()

    def watch(self) -> None:
        """Some test uses the emulator, so load it, before time is frozen or a client mocked for the first of them."""
        importlib.import_module("runpod_emulator.testing")
        if self._guarded:
            self.guard.watch()

    def begin(self, test: str, uses: bool) -> None:
        """A test begins; one that does not use the emulator finds everything as the user has it."""
        self.guard.present = test
        if uses:
            self.use(test)
        elif self.redirect:
            self.redirect.off()

    def use(self, test: str) -> None:
        """The test uses the emulator."""
        self.guard.gap = None
        if self.redirect:
            self.redirect.on()
        if self._guarded:
            self.guard.watch()
            self.guard.test = test
            self.guard.way_out = _way_out(self.redirect)

    def end(self) -> None:
        """A test has ended."""
        self.guard.test = ""
        self.guard.take_refused()
        self._open_gap()

    def finish(self) -> None:
        """The run is over, or never takes place here."""
        self.end_shared()
        self.guard.gap = None
        if self.redirect:
            self.redirect.off()
        if self._port:
            self._port.release()

    def _lend(self) -> int:
        return self._port.lend() if self._port and self._port.is_held else 0

    def _open_gap(self) -> None:
        if self._port and self._guarded:
            self.guard.listen()
            self.guard.gap = ("127.0.0.1", self._port.number)


def _way_out(redirect: Redirect | None) -> str:
    there = "it is given RUNPOD_ENDPOINT_BASE_URL, or runpod_emulator.base_url"
    return there if redirect is None else f"{there}, here {redirect.base_url}, when it is made"


def _run(config: pytest.Config) -> Run:
    run = config.stash.get(_RUN, None)
    if run is None:
        run = config.stash[_RUN] = Run(
            bool(config.getini(f"{_FIXTURE}_early")) and not pointed_by_exec(), bool(config.getini(f"{_FIXTURE}_guard"))
        )
        config.add_cleanup(run.finish)
    return run


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the settings."""
    parser.addini(f"{_FIXTURE}_early", _EARLY, type="bool", default=True)
    parser.addini(f"{_FIXTURE}_guard", _GUARD, type="bool", default=True)
    group = parser.getgroup(_FIXTURE, "runpod-emulator")
    group.addoption("--runpod-emulator-seed", dest=_SEED, type=int, default=None, metavar="SEED", help=_SEED_HELP)
    report.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Point clients at the emulator before the first conftest is imported."""
    _run(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark; a plugin that a conftest names comes only now."""
    config.addinivalue_line("markers", _MARK)
    config.pluginmanager.register(report, f"{_FIXTURE}_report")
    _run(config)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Leave it to the processes of pytest-xdist where they run the tests: they are given this one's environment."""
    if session.config.pluginmanager.hasplugin("dsession"):
        _run(session.config).finish()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Watch clients before a mock can stand before them, where a test uses the emulator."""
    if any(_uses(item) for item in session.items):
        _run(session.config).watch()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Whoever does not use the emulator is left alone."""
    run = _run(item.config)
    run.begin(item.nodeid, _uses(item))
    try:
        return (yield)
    finally:
        run.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test whose refused request went unnoticed, in a thread, say."""
    return (yield from _noticed(item, "call"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test whose refused request went unnoticed while its fixtures ended."""
    return (yield from _noticed(item, "teardown"))


def _noticed(item: pytest.Item, when: str) -> Generator[None, object, object]:
    guard = _run(item.config).guard
    try:
        result = yield
    except RealServiceCalled:
        guard.take_refused()
        raise
    except BaseException:
        for message in guard.take_refused():
            item.add_report_section(when, _FIXTURE, message)
        raise
    if refused := guard.take_refused():
        raise RealServiceCalled(refused[0])
    return result


def _uses(item: pytest.Item) -> bool:
    return not {_FIXTURE, _FACTORY}.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture
def runpod_emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """RunPod on a free port: one server a session, cleared for each test; RunPod clients are pointed at it.

    A test marked with options has an emulator of its own; marks of its class and its module count too.
    """
    run = _run(request.config)
    run.use(request.node.nodeid)
    endpoints, options = _marked(request.node)
    if not (endpoints or options):
        emulator = run.shared(_seed(request.config, request.node.nodeid))
        with _pointed_at(emulator, monkeypatch):
            _tell(run, request.node, emulator)
            yield emulator
        return
    options.setdefault("seed", _seed(request.config, request.node.nodeid))
    with _own(run, endpoints, options) as emulator, _pointed_at(emulator, monkeypatch):
        _tell(run, request.node, emulator)
        yield emulator


def _tell(run: Run, node: pytest.Item, emulator: Emulator) -> None:
    """Let the report of a failing test say who gets the requests that its emulator does not get."""
    if said := run.elsewhere(emulator):
        node.add_report_section("setup", _FIXTURE, said)


def _seed(config: pytest.Config, test: str) -> int:
    """What a test's ids and dice come from: the same in each run, and another one for each test."""
    given: int | None = config.getoption(_SEED)
    return zlib.crc32(test.encode(errors="surrogatepass")) if given is None else given


def _marked(node: pytest.Item) -> tuple[list[str], dict[str, Any]]:
    """The endpoints of all marks, and their options: a nearer mark goes before one that is further away."""
    endpoints: list[str] = []  # whatever a mark has, which need not be hashable
    options: dict[str, Any] = {}
    for mark in reversed(list(node.iter_markers(_FIXTURE))):
        endpoints += [one for one in mark.args if one not in endpoints]
        options |= mark.kwargs
    return endpoints, options


@pytest.fixture(scope="session")
def runpod_emulator_factory(request: pytest.FixtureRequest) -> EmulatorFactory:
    """Makes emulators for fixtures of a wider scope: `with runpod_emulator_factory("llm", clock="virtual") as emu:`.

    It takes what the mark takes, points RunPod clients at the emulator as long as the block lasts, and resets nothing.
    """
    return functools.partial(_Made, _run(request.config), request.config.getoption(_SEED))


class _Made(AbstractContextManager["Emulator"]):
    """An emulator for a block."""

    def __init__(self, run: Run, seed: int | None, *endpoints: str, **options: Any) -> None:
        self._run = run
        self._endpoints = endpoints
        self._options = options if seed is None else {"seed": seed, **options}
        self._stack = ExitStack()

    def __enter__(self) -> Emulator:
        with ExitStack() as stack:
            emulator = stack.enter_context(_own(self._run, self._endpoints, self._options))
            stack.enter_context(_pointed_at(emulator, stack.enter_context(pytest.MonkeyPatch.context())))
            self._stack = stack.pop_all()
        return emulator

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name}: {_FACTORY} is used as `with {_FACTORY}(…) as emu:`, and emu has that")


@contextmanager
def _own(run: Run, endpoints: Iterable[str], options: dict[str, Any]) -> Iterator[Emulator]:
    try:
        with run.own(*endpoints, **options) as emulator:
            yield emulator
    finally:
        run.take_back()


@contextmanager
def _pointed_at(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Point RunPod clients here: by variables, and the official one by its own settings, whenever it is imported."""
    before = dict(os.environ)
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings(emulator.environment, functools.partial(monkeypatch.setattr, raising=False))
    settings.on(before)
    try:
        yield
    finally:
        settings.stop()  # the rest is put back in turn with what the test has patched itself
