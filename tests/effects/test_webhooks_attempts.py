"""How often a webhook call is tried, how many are on the wire at once, and that none is lost."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Iterator

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.deliveries import Delivery, DeliveryStatus
from runpod_emulator.core.jobs.job import Completed
from runpod_emulator.core.platform import DAY

from tests.core.passing_time import Passing
from tests.core.steps import is_gone, started, take_now, turns
from tests.effects.test_webhooks import HOOK, JOB, end, refusing, settled
from tests.worlds import RecordingPost, TestWorld, make_world


class BlockingPost(RecordingPost):
    """Calls that stay on the wire until the test answers them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, asyncio.Future[str]]] = []
        self.most = Counter[str]()
        self.most_together = 0

    async def send(self, url: str, body: bytes) -> str:
        self.calls.append((url, body))
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.open.append((url, answer))
        self.most_together = max(self.most_together, len(self.open))
        self.most |= Counter(url for url, _ in self.open)
        return await answer

    def reply(self, index: int = 0, problem: str = "") -> None:
        """End one call."""
        self.open.pop(index)[1].set_result(problem)


# Attempts


@pytest.mark.parametrize(("profile", "delays"), [("observed", (5_000, 15_000)), ("documented", (10_000, 10_000))])
async def test_a_refused_call_is_tried_three_times_in_all(passing: Passing, profile, delays: tuple[int, int]):
    world = passing.world(profile, post=refusing())
    await end(world)
    made = 1
    for delay in delays:
        assert len(await settled(world)) == made
        await passing.by(delay - 1)
        assert len(await settled(world)) == made
        await passing.by(1)
        made += 1
    assert len(await settled(world)) == 3
    await passing.by(DAY)
    assert len(await settled(world)) == 3


@pytest.mark.parametrize("good", [1, 2, 3])
async def test_the_first_acknowledgement_is_the_last_call(good: int):
    post = RecordingPost()
    post.answer = lambda url, body: "" if len(post.calls) == good else "answered 503"
    world = make_world(post=post)
    await end(world)
    await world.advance(60_000)
    assert len(post.calls) == good


async def test_the_next_attempt_counts_from_the_answer_to_the_last_one():
    post = BlockingPost()
    world = make_world(post=post)
    await end(world)
    await turns()
    world.clock.move_to(world.clock.now() + 3_000)
    post.reply(problem="no answer within 3 s")
    await world.emulator.timeline.settle()
    assert await world.emulator.store.deliveries.next_due() == world.clock.now() + 5_000


async def test_the_delays_can_be_changed():
    world = make_world(post=refusing(), webhook_retry_delays=(1_000,))
    await end(world)
    assert await world.advance(60_000)
    assert len(world.post.calls) == 2


async def test_a_failing_receiver_never_changes_the_job():
    world = make_world(post=refusing())
    job = await end(world)
    before = await world.endpoint.status(job.id)
    await world.advance(60_000)
    assert await world.endpoint.status(job.id) == before


async def test_a_delivery_outlives_its_job(passing: Passing):
    world = passing.world(post=refusing(), run_retention=1_000)
    job = await end(world)
    assert len(await settled(world)) == 1
    await passing.by(1_000)
    assert await is_gone(world, job.id)
    for made, delay in ((2, 4_000), (3, 15_000)):
        await passing.by(delay)
        assert len(await settled(world)) == made
    assert len(set(world.post.calls)) == 1


async def test_a_retried_job_calls_again_on_its_new_end():
    world = make_world()
    job = await end(world, error="boom")
    await world.endpoint.retry(job.id)
    (again,) = await take_now(world, world.launcher.started[0])
    await world.endpoint.work.report(job.id, Completed(again.lease, b"1"))
    assert [body["status"] for body in await settled(world)] == ["COMPLETED", "FAILED"]


async def test_a_retry_leaves_what_is_owed_for_the_first_end():
    world = make_world(post=refusing())
    job = await end(world, error="boom")
    assert len(await settled(world)) == 1
    await world.endpoint.retry(job.id)
    (again,) = await take_now(world, world.launcher.started[0])
    await world.endpoint.work.report(job.id, Completed(again.lease, b"1"))
    await world.advance(60_000)
    assert Counter(body["status"] for body in await settled(world)) == {"FAILED": 3, "COMPLETED": 3}


async def test_a_retried_job_that_is_cancelled_in_the_queue_leaves_what_is_owed_for_the_first_end():
    world = make_world(post=refusing())
    job = await end(world, error="boom")
    assert len(await settled(world)) == 1
    await world.endpoint.retry(job.id)
    await world.endpoint.cancel(job.id)
    await world.advance(60_000)
    assert Counter(body["status"] for body in await settled(world)) == {"FAILED": 3, "CANCELLED": 3}


async def test_every_job_calls_its_own_webhook():
    world = make_world(workers_max=5)
    for number in range(5):
        await end(world, JOB._replace(webhook=f"http://host{number}/"))
    await settled(world)
    assert sorted(url for url, _ in world.post.calls) == [f"http://host{number}/" for number in range(5)]


# At once


async def ended(world: TestWorld, hosts: list[str]) -> None:
    """One ended job for each host named."""
    for host in hosts:
        job = await world.endpoint.submit(JOB._replace(webhook=f"http://{host}/"))
        await world.endpoint.cancel(job.id)
    await turns(30)


async def test_at_most_four_calls_to_one_host_and_sixty_four_in_all():
    post = BlockingPost()
    world = make_world(post=post)
    await ended(world, [f"host{number}" for number in range(20)] * 10)
    assert len(post.open) == 64
    while post.open:
        post.reply(len(post.calls) % len(post.open))
        await turns(4)
    assert post.most_together == 64
    assert max(post.most.values()) == 4
    assert Counter(url for url, _ in post.calls) == {f"http://host{number}/": 10 for number in range(20)}
    assert len(set(post.calls)) == 200


async def test_an_answer_makes_room_for_the_next_call_to_its_host():
    post = BlockingPost()
    world = make_world(post=post)
    await ended(world, ["one"] * 6)
    assert len(post.open) == 4
    post.reply(2)
    await turns()
    assert len(post.open) == 4
    assert len(post.calls) == 5
    await world.emulator.stop()


async def test_a_host_that_never_answers_does_not_delay_another():
    post = BlockingPost()
    world = make_world(post=post)
    await ended(world, ["dead"] * 500)
    await ended(world, ["alive"])
    assert Counter(url for url, _ in post.open) == {"http://dead/": 4, "http://alive/": 1}
    await world.emulator.stop()


async def test_ports_are_hosts_of_their_own():
    post = BlockingPost()
    world = make_world(post=post)
    await ended(world, ["h:1"] * 9 + ["h:2"] * 9)
    assert Counter(url for url, _ in post.open) == {"http://h:1/": 4, "http://h:2/": 4}
    await world.emulator.stop()


async def test_virtual_time_stands_while_a_call_is_on_the_wire():
    post = BlockingPost()
    world = make_world(post=post)
    await end(world)
    before = world.clock.now()
    advancing = await started(world.advance(60_000))
    await turns()
    assert (world.clock.now(), len(post.open)) == (before, 1)
    post.reply(problem="answered 500")
    await turns()
    assert (world.clock.now(), len(post.open)) == (before + 5_000, 1)
    post.reply()
    await advancing
    assert world.clock.now() == before + 60_000


async def test_a_url_that_cannot_be_parsed_costs_no_other_job_its_call():
    world = make_world(webhook_url_check=False)
    await end(world, JOB._replace(webhook="http://[::1/"))
    world.clock.move_to(world.clock.now() + 1)
    await end(world, JOB)
    await world.advance(60_000)
    assert HOOK in {url for url, _ in world.post.calls}


@pytest.mark.parametrize("endpoint", [None, "ep"])
async def test_a_reset_forgets_calls_that_wait_for_a_host_that_rests(endpoint: str | None):
    world = make_world(post=refusing())
    await end(world)
    await settled(world)
    await end(world)
    assert len(await settled(world)) == 1
    await world.emulator.reset(endpoint)
    await world.advance(DAY)
    assert len(await settled(world)) == 1


async def test_after_a_reset_no_host_rests():
    world = make_world(post=refusing())
    await end(world)
    await settled(world)
    await end(world)
    await world.emulator.reset()
    await end(world)
    assert len(await settled(world)) == 2


async def test_a_call_that_is_on_the_wire_at_a_reset_is_not_tried_again():
    post = BlockingPost()
    world = make_world(post=post)
    await end(world)
    await turns()
    await world.emulator.reset()
    post.reply(problem="answered 503")
    await turns()
    assert not await world.emulator.store.deliveries.owes()


async def test_stopping_ends_calls_and_leaves_the_rest_owed():
    post = BlockingPost()
    world = make_world(post=post)
    await ended(world, ["h"] * 5)
    await world.emulator.stop()
    assert all(answer.cancelled() for _, answer in post.open)
    await ended(world, ["h"])
    assert len(post.calls) == 4
    assert await world.emulator.store.deliveries.next_due() is not None


async def test_no_line_of_an_attempt_shows_a_password(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "runpod_emulator.webhooks")
    url = "http://user:pass-of-the-hook@h/?token=token-of-the-hook"
    world = make_world(post=RecordingPost(lambda url, body: f"cannot connect to {url}"))
    await world.endpoint.submit(Submission(b"{}", webhook=url))
    (job,) = await world.take(await world.worker())
    await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    await world.emulator.timeline.settle()
    assert [called for called, _ in world.post.calls] == [url]
    assert "of-the-hook" not in caplog.text and "http://user:****hook@h/?token=****hook" in caplog.text


async def test_each_attempt_leaves_a_line_in_the_log(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "runpod_emulator.webhooks")
    post = RecordingPost()
    post.answer = lambda url, body: "" if b"CANCELLED" in body else "answered 500"
    world = make_world(post=post)
    failed = await end(world, error="boom")
    await world.advance(60_000)
    cancelled = await world.endpoint.submit(JOB)
    await world.endpoint.cancel(cancelled.id)
    await settled(world)
    where = f"webhook of ep/{failed.id}, attempt"
    assert [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "runpod_emulator.webhooks"] == [
        ("WARNING", f"{where} 1 of 3: answered 500; tried again later ({HOOK})"),
        ("WARNING", f"{where} 2 of 3: answered 500; tried again later ({HOOK})"),
        ("WARNING", f"{where} 3 of 3: answered 500; given up ({HOOK})"),
        ("INFO", f"webhook of ep/{cancelled.id}, attempt 1 of 3: acknowledged by {HOOK}"),
    ]


# Very many


@pytest.mark.one_step
async def test_all_that_is_due_is_called_while_time_stands():
    world = make_world(rate_limits=False, paused_endpoint="queue", workers_max=0)
    for _ in range(1_100):
        job = await world.endpoint.submit(JOB)
        await world.endpoint.cancel(job.id)
    await world.emulator.timeline.settle()
    assert len(world.post.calls) == 1_100


class DeadReceiver:
    """Refuses every call and counts them by body."""

    def __init__(self) -> None:
        self.attempts = Counter[bytes]()

    async def send(self, url: str, body: bytes) -> str:
        self.attempts[body] += 1
        return "refused"

    async def close(self) -> None:
        pass


@pytest.fixture
def quick(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No line is kept of 300,000 attempts, and no garbage looked for among what all lives."""
    caplog.set_level(logging.CRITICAL)
    gc.disable()
    yield
    gc.enable()


def settlements(world: TestWorld) -> Counter[tuple[tuple[str, str, int], DeliveryStatus]]:
    """Counts how often each delivery was settled, and how."""
    counts = Counter[tuple[tuple[str, str, int], DeliveryStatus]]()
    store = world.emulator.store
    record = store.deliveries.record

    async def counted(delivery: Delivery) -> bool:
        if delivery.status is not DeliveryStatus.OWED:
            counts[delivery.key, delivery.status] += 1
        return await record(delivery)

    store.deliveries.record = counted  # type: ignore[method-assign]
    return counts


@pytest.mark.one_step
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.soak)])
async def test_no_delivery_of_many_jobs_is_lost_on_a_dead_receiver(count: int):
    receiver = DeadReceiver()
    world = make_world(post=receiver, rate_limits=False, paused_endpoint="queue", workers_max=0)
    outcomes = settlements(world)
    jobs = [await world.endpoint.submit(JOB._replace(low_priority=True)) for _ in range(count)]
    for job in jobs:
        await world.endpoint.cancel(job.id)
    made = []
    for delay in (0, 5_000, 15_000):
        await world.advance(delay)
        await world.emulator.timeline.settle()
        made.append(receiver.attempts.total())
    assert made == [len(jobs), 2 * len(jobs), 3 * len(jobs)]
    assert len(receiver.attempts) == len(jobs)
    assert set(receiver.attempts.values()) == {3}
    assert {(key[2], status) for key, status in outcomes} == {(job.id, DeliveryStatus.GIVEN_UP) for job in jobs}
    assert outcomes.total() == len(jobs)
    await world.advance(600_000)
    assert receiver.attempts.total() == 3 * len(jobs)
    assert await world.emulator.store.deliveries.next_due() is None
