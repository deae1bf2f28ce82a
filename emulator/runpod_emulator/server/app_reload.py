"""With --reload: what the sources of apps declare is in use as it is saved, not only the code of their workers."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from pathlib import Path
from typing import Protocol

from runpod_emulator.config.plans import Plan, plan_apps
from runpod_emulator.config.settings import Settings
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.secrets.shown import block
from runpod_emulator.core.settings import EndpointSettings
from runpod_emulator.workers.reload import python_files
from runpod_emulator.world.world import World
from runpod_emulator.world.worlds import Worlds

log = logging.getLogger("runpod_emulator.reload")

_GATHER = 300
"""Milliseconds in which changes are taken as one; an editor writes a file in several steps."""


class Serving(Protocol):
    """The server whose endpoints follow the sources."""

    settings: Settings
    plans: list[Plan]
    worlds: Worlds

    def add(self, world: World, namespace: str, plan: Plan) -> None:
        """One endpoint more in a world."""
        ...


class AppReload:
    """Brings the endpoints of a server to what the sources of its apps declare."""

    def __init__(self, server: Serving) -> None:
        self._server = server

    async def watch(self) -> None:
        """Look at the sources again after each change of their folders, until cancelled."""
        try:
            while True:
                await self._watch(self._folders())
        except Exception as error:
            log.exception("sources can't be watched any more (%s): what they declare is in use after a restart", error)

    async def _watch(self, folders: set[Path]) -> None:
        """The same, until the folders are others."""
        from watchfiles import awatch

        async for _ in awatch(*folders, watch_filter=_concerns, recursive=False, debounce=_GATHER, step=50):
            await self.look()
            if self._folders() != folders:
                return

    def _folders(self) -> set[Path]:
        roots = {resource.folder for resource in self._server.settings.app_resources.values()}
        return roots | {Path(file).parent for root in roots for file in python_files(root)}

    async def look(self) -> None:
        """Look at the sources now; what is wrong in them is logged, and changes nothing."""
        fresh = self._server.settings.afresh()
        try:
            declared = await asyncio.to_thread(plan_apps, fresh)  # another interpreter imports the app
            await self._follow(declared)
        except ConfigurationError as error:
            log.error("%s", block(f"{error}\nwhat was declared before stays in use"))
        except Exception:
            log.exception("what was declared before stays in use")
        else:
            self._server.settings = fresh

    async def _follow(self, declared: dict[str, Plan]) -> None:
        """Take away, change and add endpoints, in every world."""
        known = {plan.settings.id: plan for plan in self._server.plans if plan.of_app}
        for endpoint in known.keys() - declared.keys():
            await self._take_away(endpoint)
            log.info("%s: no longer declared, and no longer served", endpoint)
        for endpoint, plan in declared.items():
            if endpoint not in known:
                self._add(plan)
                log.info("%s: %s is served from now on", endpoint, plan.of_app)
            elif plan != known[endpoint]:
                await self._change(known[endpoint], plan)

    async def _change(self, old: Plan, new: Plan) -> None:
        """New settings at once; where more is new (variables, concurrency, kind), the endpoint begins anew."""
        endpoint = new.settings.id
        if old.debug_port is not None:
            new = dataclasses.replace(new, settings=new.settings.debugged(), debug_port=old.debug_port)
        changes = _differences(old.settings, new.settings)
        if _as_declared(old, new) == new and "flash" not in changes and old.service.balanced == new.service.balanced:
            for world in self._server.worlds:
                await world.endpoints.configure(endpoint, **changes)
                world.endpoints.starts.declared(endpoint, **changes)
            self._server.plans = [new if plan is old else plan for plan in self._server.plans]
            if changes:
                log.info("%s: %s changed", endpoint, ", ".join(changes))
            return
        await self._take_away(endpoint)
        self._add(new)
        log.info("%s: declared in another way: it begins anew, and its jobs are cancelled", endpoint)

    async def _take_away(self, endpoint: str) -> None:
        self._server.plans = [plan for plan in self._server.plans if plan.settings.id != endpoint]
        for world in self._server.worlds:
            world.endpoints.starts.forget(endpoint)
            if endpoint in world.endpoints:
                await world.endpoints.remove(endpoint)

    def _add(self, plan: Plan) -> None:
        self._server.plans = [*self._server.plans, plan]
        for world in self._server.worlds:
            self._server.add(world, self._server.worlds.name_of(world), plan)
            world.endpoints.open(plan.settings.id)


def _concerns(_change: object, name: str) -> bool:
    """Whether a change may be one of the source: of a Python file, or of a folder."""
    path = Path(name)
    return path.suffix == ".py" or (not path.suffix and not path.name.startswith((".", "__pycache__")))


def _as_declared(old: Plan, new: Plan) -> Plan:
    """The old plan with what an endpoint at work can take over from the new one."""
    return dataclasses.replace(old, settings=new.settings, service=new.service)


def _differences(old: EndpointSettings, new: EndpointSettings) -> dict[str, object]:
    """The fields that are others now, with what they are."""
    names = (field.name for field in dataclasses.fields(EndpointSettings))
    return {name: getattr(new, name) for name in names if getattr(new, name) != getattr(old, name)}
