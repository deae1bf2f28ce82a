"""Calls https://api.runpod.ai as programs do that have this address written into them, and prints what each saw."""

import asyncio
import json
import urllib.request

import aiohttp
import httpx
import requests
import runpod
from openai import OpenAI

URL = "https://api.runpod.ai/v2"
HEADERS = {"Authorization": "Bearer any-key"}
BODY = {"input": {"a": 1}}


def by_urllib():
    request = urllib.request.Request(f"{URL}/echo/runsync", json.dumps(BODY).encode(), HEADERS)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["output"]


async def by_aiohttp():
    async with (
        aiohttp.ClientSession(trust_env=True, headers=HEADERS) as session,
        session.post(f"{URL}/echo/runsync", json=BODY) as answer,
    ):
        return (await answer.json())["output"]


async def by_httpx_async():
    async with httpx.AsyncClient(headers=HEADERS) as client:
        return (await client.post(f"{URL}/echo/runsync", json=BODY)).json()["output"]


def by_runpod():
    runpod.api_key = "any-key"
    assert runpod.endpoint_url_base == URL, "as in production"
    return runpod.Endpoint("echo").run_sync(BODY)


def by_openai():
    client = OpenAI(api_key="any-key", base_url=f"{URL}/qwen3-32b-awq/openai/v1")
    said = client.chat.completions.create(
        model="Qwen/Qwen3-32B-AWQ", messages=[{"role": "user", "content": "hello"}], stream=True
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in said if chunk.choices)


def refused():
    try:
        requests.get("https://elsewhere.invalid/")
    except requests.exceptions.ProxyError as error:
        return str(error)


print(
    json.dumps(
        {
            "requests": requests.post(f"{URL}/echo/runsync", json=BODY, headers=HEADERS).json()["output"],
            "plain": requests.post(f"http{URL[5:]}/echo/runsync", json=BODY, headers=HEADERS).json()["output"],
            "httpx": httpx.post(f"{URL}/echo/runsync", json=BODY, headers=HEADERS).json()["output"],
            "httpx_async": asyncio.run(by_httpx_async()),
            "aiohttp": asyncio.run(by_aiohttp()),
            "urllib": by_urllib(),
            "runpod": by_runpod(),
            "openai": by_openai(),
            "refused": refused(),
        }
    )
)
