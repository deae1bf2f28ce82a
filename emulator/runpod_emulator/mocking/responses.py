"""What a stub answers with, as it is written: times, progress, chunks and an end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from runpod_emulator.core.mocks.script import FOR_EVER, NO_PAUSE, Ending, Pause, Script
from runpod_emulator.core.mocks.script import Step as CoreStep
from runpod_emulator.mocking.forms import Templated, TemplatedText, Time, Written, refusal, short_form
from runpod_emulator.mocking.openai.written import ModelReply
from runpod_emulator.mocking.templates import text_of, value_of
from runpod_emulator.values import span

Polls = Annotated[int, Field(ge=0, le=1_000_000_000)]
_ENDINGS = ("crash", "timeout", "never")


class Paused(Written):
    """Something that happens after a pause."""

    after: Time = Field(default=0, description="time since what came before; with polls, the later counts")
    polls: Polls = Field(default=0, description="polls by clients since what came before")

    @property
    def pause(self) -> Pause:
        """The pause."""
        return Pause(span(self.after), self.polls)


class Update(Paused):
    """A progress update."""

    value: Templated = Field(description="any JSON; strings in it may be templates")


class Chunk(Paused):
    """A stream chunk."""

    chunk: Templated = Field(description="any JSON; strings in it may be templates")


class Step(Paused):
    """A progress update or a stream chunk, where both come mixed."""

    progress: Templated = Field(default=None, description="a progress update, any JSON")
    chunk: Templated = Field(default=None, description="a stream chunk, any JSON")

    @model_validator(mode="after")
    def _is_one(self) -> Step:
        if len({"progress", "chunk"} & self.model_fields_set) != 1:
            raise refusal("a step has either progress or chunk")
        return self


class Response(Written):
    """One run of a job. It ends with an output, an error, an answer of the model, or one of crash, timeout and never.

    An item of `progress` or `stream` is taken as `{value, after, polls}` or `{chunk, after,
    polls}` only if it is a mapping whose keys are all among those and that has `value` or
    `chunk`. One that nearly is that is refused; any other mapping is itself the update or the chunk.
    """

    expected: ClassVar[str] = 'a response as a mapping, such as {output: "hello"}'
    elsewhere: ClassVar[Mapping[str, str]] = {
        "chunks": "it is written as stream",
        "chunk": "it is written as stream, a list",
        "status": "an HTTP status is a fault (fault: status), and a job that fails has an error",
        "webhook": "the client says it, when it hands in the job",
        "sleep": "it is written as delay",
    }

    queue_delay: Time = Field(
        default=0, description="time in the queue before a worker may have the job", examples=["30s"]
    )
    polls_before_in_progress: Polls = Field(
        default=0, description="polls by clients that find the job IN_QUEUE", examples=[3]
    )
    progress: list[Annotated[Any, short_form(Update, "value")]] = Field(
        default=[], description="progress updates", examples=[["loading", {"value": "50 %", "after": "1s"}]]
    )
    stream: list[Annotated[Any, short_form(Chunk, "chunk")]] = Field(
        default=[], description="stream chunks, after progress", examples=[["Hel", {"chunk": "lo", "after": "100ms"}]]
    )
    steps: list[Step] = Field(
        default=[],
        description="updates and chunks in a mixed order, instead of progress and stream",
        examples=[[{"progress": "loading"}, {"chunk": "Hello", "after": "2s"}]],
    )
    delay: Time = Field(default=0, description="time before the end", examples=["1s-3s"])
    polls_before_completed: Polls = Field(default=0, description="polls by clients before the end", examples=[2])
    output: Templated = Field(
        default=None,
        description="any JSON; strings in it may be templates; null is no output",
        examples=[{"text": "{{ input.prompt }}", "id": "{{ uuid() }}"}],
    )
    error: TemplatedText | None = Field(
        default=None,
        description="fails the job, whose `output` is shown beside; a template that gives an empty text does not",
        examples=["CUDA out of memory"],
    )
    openai: ModelReply | None = Field(
        default=None,
        description="lets the model of `--openai` answer, as far as this does not say otherwise",
        examples=[{"text": "Hello from a stub", "ttft": "300ms", "tokens_per_second": 40}],
    )
    crash: bool = Field(default=False, description="the worker dies in the middle of the job", examples=[True])
    timeout: bool = Field(
        default=False,
        description="the job runs until its execution timeout, or is cut off sooner: after `delay`",
        examples=[True],
    )
    never: bool = Field(default=False, description="the job never ends by itself", examples=[True])

    @model_validator(mode="after")
    def _is_clear(self) -> Response:
        if self.openai is not None and self.model_fields_set - {"openai", "queue_delay", "polls_before_in_progress"}:
            raise refusal("openai stands alone: only queue_delay and polls_before_in_progress go with it")
        if self.steps and (self.progress or self.stream):
            raise refusal("steps stand alone: write progress and stream as steps too")
        endings = [name for name in _ENDINGS if getattr(self, name)]
        others = [name for name in ("output", "error") if getattr(self, name) is not None]
        if len(endings) > 1 or (endings and others):
            raise refusal(f"{' and '.join((others + endings)[-2:])} exclude each other: a job has one end")
        return self

    def to_core(self, name: str = "respond") -> Script:
        """The script of one run; the errors of its templates begin with `name`."""
        ending = next((Ending(ending) for ending in _ENDINGS if getattr(self, ending)), Ending.OUTPUT)
        return Script(
            ending=Ending.ERROR if self.error else ending,
            output=None if self.output is None else value_of(self.output, f"{name}.output"),
            error=None if self.error is None else text_of(self.error, f"{name}.error"),
            in_queue=Pause(span(self.queue_delay), self.polls_before_in_progress),
            steps=tuple(self._steps(name)),
            before_end=self._before_end(),
            reply=None if self.openai is None else self.openai.to_core(f"{name}.openai"),
        )

    def _before_end(self) -> Pause:
        """The pause after the last step; a timeout that does not say when comes when the job's own time is up."""
        if self.timeout and not {"delay", "polls_before_completed"} & self.model_fields_set:
            return FOR_EVER
        pause = Pause(span(self.delay), self.polls_before_completed)
        return NO_PAUSE if pause.nothing else pause

    def _steps(self, name: str) -> Iterator[CoreStep]:
        for place, update in enumerate(self.progress):
            yield CoreStep(value_of(update.value, f"{name}.progress.{place}"), False, update.pause)
        for place, chunk in enumerate(self.stream):
            yield CoreStep(value_of(chunk.chunk, f"{name}.stream.{place}"), True, chunk.pause)
        for place, step in enumerate(self.steps):
            is_chunk = "chunk" in step.model_fields_set
            value = step.chunk if is_chunk else step.progress
            yield CoreStep(value_of(value, f"{name}.steps.{place}"), is_chunk, step.pause)
