"""The batch API: requests that are collected in a draft and then run together, apart from all other jobs."""

from __future__ import annotations

from starlette.responses import Response

from runpod_emulator.core.jobs.batches import Batch
from runpod_emulator.core.rates import Operation
from runpod_emulator.http import batch_wire
from runpod_emulator.http.call import Call
from runpod_emulator.http.guards import Verb, guarded
from runpod_emulator.http.routing import ExactRoute

_MOST = 1_000
"""Requests on a page."""


async def create(call: Call) -> Response:
    """A draft of the requests in the body, an array that may be empty."""
    inputs = batch_wire.inputs(await _body(call), call.platform)
    batch = call.emulator.endpoints.batches.create(call.endpoint.id, inputs, call.at)
    return call.reply("batch.created", batch_wire.state(batch))


async def listed(call: Call) -> Response:
    """All batches of the endpoint, newest first."""
    batches = call.emulator.endpoints.batches.of(call.endpoint.id)
    return call.reply("batch.list", batch_wire.listing(batches, call.emulator.timeline.drift()))


async def shown(call: Call) -> Response:
    """One batch, with its counters."""
    return call.reply("batch.summary", _summary(call, _batch(call)))


async def rename(call: Call) -> Response:
    """Give the batch a display name."""
    batch = _batch(call)
    batch.name = batch_wire.name(await _body(call))
    return call.reply("batch.changed", _summary(call, batch))


async def add(call: Call) -> Response:
    """Add requests to a draft."""
    batch = _batch(call)
    call.emulator.endpoints.batches.add(batch, batch_wire.added(await _body(call), call.platform))
    return call.reply("batch.changed", _summary(call, batch))


async def remove(call: Call) -> Response:
    """Take one request out of a draft."""
    batch = _batch(call)
    call.emulator.endpoints.batches.remove(batch, call.request.scope["path_params"]["request_id"])
    return call.reply("batch.changed", _summary(call, batch))


async def finalize(call: Call) -> Response:
    """Queue all requests of a draft."""
    batch = _batch(call)
    await call.emulator.endpoints.batches.finalize(batch, call.request.scope["headers"])
    return call.reply("batch.finalized", batch_wire.state(batch))


async def cancel(call: Call) -> Response:
    """Cancel what waits; the batch is CANCELLED once what runs has ended."""
    batch = _batch(call)
    await call.emulator.endpoints.batches.cancel(batch)
    return call.reply("batch.cancelled", batch_wire.state(batch))


async def requests(call: Call) -> Response:
    """One page of the batch's requests, with what became of them."""
    batch = _batch(call)
    offset = call.count("offset", 0, low=0)
    limit = call.count("limit", call.platform.batch_page_limit, low=1, high=_MOST)
    page = batch.page(offset, limit)
    for request in page:
        if request.job is not None:
            call.emulator.unread.seen(request.job)
    drift = call.emulator.timeline.drift()
    return call.reply("batch.requests", batch_wire.page(page, len(batch.requests), offset, limit, drift))


async def _body(call: Call) -> bytes:
    return await call.json(call.platform.batch_body_limit, "error.batch_body_too_large")


def _batch(call: Call) -> Batch:
    return call.emulator.endpoints.batches.get(call.endpoint.id, call.request.scope["path_params"]["batch_id"])


def _summary(call: Call, batch: Batch) -> bytes:
    return batch_wire.summary(batch, call.emulator.timeline.drift())


_ONE = "/{batch_id}"
_VERBS: tuple[tuple[str, str, Verb], ...] = (
    ("POST", "", create),
    ("GET", "", listed),
    ("GET", _ONE, shown),
    ("PUT", _ONE, rename),
    ("GET", _ONE + "/requests", requests),
    ("POST", _ONE + "/requests", add),
    ("DELETE", _ONE + "/requests/{request_id}", remove),
    ("POST", _ONE + "/finalize", finalize),
    ("POST", _ONE + "/cancel", cancel),
)

routes = [
    ExactRoute("/v2/{endpoint_id:endpoint}/batch" + path, guarded(Operation.BATCH, verb), [method])
    for method, path, verb in _VERBS
]
