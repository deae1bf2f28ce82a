"""What each Python client sees of a model that is none; run by an interpreter that has them. Prints JSON by case."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

BASE_URL, KEY, MODEL = os.environ["BASE_URL"], "any-key", "acme/any-model"
MESSAGES = [{"role": "user", "content": "hello"}]


def openai_chat() -> Any:
    from openai import OpenAI

    client = OpenAI(base_url=BASE_URL, api_key=KEY)
    whole = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    chunks = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    return {
        "text": whole.choices[0].message.content,
        "streamed": "".join(chunk.choices[0].delta.content or "" for chunk in chunks),
        "tokens": whole.usage.completion_tokens,
        "models": [model.id for model in client.models.list()],
        "floats": len(client.embeddings.create(model=MODEL, input="hello").data[0].embedding),
    }


def openai_responses() -> Any:
    from openai import OpenAI

    client = OpenAI(base_url=BASE_URL, api_key=KEY)
    with client.responses.stream(model=MODEL, input="hello") as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_response().output_text
    whole = client.responses.create(model=MODEL, input="hello").output_text
    return {"text": whole, "streamed": streamed, "last": kinds[-1]}


def openai_parse() -> Any:
    from openai import OpenAI

    client = OpenAI(base_url=BASE_URL, api_key=KEY)
    done = client.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=person())
    return done.choices[0].message.parsed.model_dump()


def openai_refusal() -> Any:
    from openai import BadRequestError, OpenAI

    client = OpenAI(base_url=os.environ["STRICT_URL"], api_key=KEY)
    try:
        client.chat.completions.create(model=MODEL, messages=[])
    except BadRequestError as error:
        return error.body
    return None


def openai_async() -> Any:
    from openai import AsyncOpenAI

    async def several() -> list[str]:
        client = AsyncOpenAI(base_url=BASE_URL, api_key=KEY)
        asked = (client.completions.create(model=MODEL, prompt=f"number {one}") for one in range(5))
        return [one.choices[0].text for one in await asyncio.gather(*asked)]

    return asyncio.run(several())


def litellm() -> Any:
    import litellm

    options = {"model": f"openai/{MODEL}", "api_base": BASE_URL, "api_key": KEY}
    whole = litellm.completion(messages=MESSAGES, **options)
    chunks = litellm.completion(messages=MESSAGES, stream=True, **options)
    return {
        "text": whole.choices[0].message.content,
        "streamed": "".join(chunk.choices[0].delta.content or "" for chunk in chunks),
        "vector": len(litellm.embedding(input=["hello"], **options).data[0]["embedding"]),
    }


def langchain() -> Any:
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    @tool
    def weather(city: str, days: int) -> str:
        """The weather in a city."""
        return f"{city} {days}"

    model = ChatOpenAI(model=MODEL, base_url=BASE_URL, api_key=KEY)
    called = model.bind_tools([weather]).invoke("how is the weather?")
    vectors = OpenAIEmbeddings(
        model=MODEL, base_url=BASE_URL, api_key=KEY, check_embedding_ctx_length=False
    ).embed_documents(["a", "b"])
    return {
        "text": model.invoke("hello").content,
        "streamed": "".join(chunk.content for chunk in model.stream("hello")),
        "calls": [[call["name"], type(call["args"]["days"]).__name__] for call in called.tool_calls],
        "parsed": model.with_structured_output(person()).invoke("hello").model_dump(),
        "vectors": [len(one) for one in vectors],
    }


def llama_index() -> Any:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike

    model = OpenAILike(model=MODEL, api_base=BASE_URL, api_key=KEY, is_chat_model=True)
    messages = [ChatMessage(role="user", content="hello")]
    return {
        "text": model.chat(messages).message.content,
        "streamed": "".join(one.delta or "" for one in model.stream_chat(messages)),
    }


def instructor() -> Any:
    import instructor
    from openai import OpenAI

    client = instructor.from_openai(OpenAI(base_url=BASE_URL, api_key=KEY))
    made = client.chat.completions.create(model=MODEL, messages=MESSAGES, response_model=person(), max_retries=0)
    return made.model_dump()


def person() -> Any:
    """A form for an answer, which each client sends in a way of its own."""
    from pydantic import BaseModel, Field

    class Person(BaseModel):
        """Somebody."""

        name: str
        age: int = Field(ge=18, le=99)
        tags: list[str]

    return Person


CASES: list[Callable[[], Any]] = [
    openai_chat, openai_responses, openai_parse, openai_refusal, openai_async, litellm, langchain, llama_index,
    instructor,
]  # fmt: skip


def seen(case: Callable[[], Any]) -> Any:
    try:
        return {"answered": case()}
    except Exception:
        return {"raised": traceback.format_exc(limit=-4)}


if __name__ == "__main__":
    json.dump({case.__name__: seen(case) for case in CASES}, sys.stdout)
