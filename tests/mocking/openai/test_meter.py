"""The metrics that dashboards of vLLM read."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from runpod_emulator.core.mocks.pace import ModelSettings, Pace
from runpod_emulator.core.settings import Span
from runpod_emulator.mocking.openai.meter import MOST_NAMES, OTHERS, Meter
from runpod_emulator.mocking.openai.model import Model

from tests.mocking.mocks import mock_world
from tests.mocking.openai.models import CHAT, HELLO, answer, pieces


def samples(text: str) -> dict[str, float]:
    """Each sample by its name, of all models; buckets left out."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            if not one.name.endswith(("_bucket", "_created")):
                found[one.name] = found.get(one.name, 0) + one.value
    return found


def test_what_is_counted() -> None:
    model = Model(ModelSettings(pace=Pace(Span(200, 200), 50)))
    pieces({**HELLO, "max_tokens": 5}, model=model)
    pieces({**HELLO, "max_tokens": 5, "stream": True}, model=model)
    pieces({**HELLO, "n": 0}, model=model)
    found = {name: round(value, 6) for name, value in samples(answer_text(model)).items()}
    assert found == {
        "vllm:num_requests_running": 0,
        "vllm:num_requests_waiting": 0,
        "vllm:prompt_tokens_total": 8,
        "vllm:generation_tokens_total": 10,
        "vllm:request_success_total": 2,
        "vllm:time_to_first_token_seconds_count": 2,
        "vllm:time_to_first_token_seconds_sum": 0.4,
        "vllm:inter_token_latency_seconds_count": 8,
        "vllm:inter_token_latency_seconds_sum": 0.16,
    }


def answer_text(model: Model) -> str:
    text = answer({}, "/metrics", model=model)
    assert isinstance(text, str)
    return text


async def test_what_runs_and_what_waits() -> None:
    model = Model(ModelSettings(pace=Pace(tokens_per_second=1)))
    async with mock_world(model=model) as world:
        for _ in range(5):  # three workers, one job each
            await world.submit({"openai_route": CHAT, "openai_input": HELLO})
        await world.pass_by(10)
        found = samples(model.meter.text("any", world.endpoint.scripts.waiting()))
        assert (found["vllm:num_requests_running"], found["vllm:num_requests_waiting"]) == (3, 2)


def test_any_number_of_names_makes_a_bounded_number_of_lines() -> None:
    meter = Meter()
    for number in range(MOST_NAMES + 50):
        with meter.request(f"model-{number}", 1):
            pass
    text = meter.text("any", 0)
    assert f'model_name="{OTHERS}"' in text
    assert text.count("vllm:prompt_tokens_total{") == MOST_NAMES + 1
