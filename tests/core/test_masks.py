"""What is shown of secrets, and that nothing else is changed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from emulator.core.masks import Masks, header, masked, masked_variable, member, names_secret
from tests.timing import expect_within, timed

OWN = "own-key-of-the-server"
MASKS = Masks([OWN, "short", "schlüssel-dienst"])
KEY = "abcdefghijklmnop"


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("", "****"), ("x", "****"), ("eleven-char", "****"), ("twelve-chars", "****hars"), (KEY, "****mnop"),
        ("****mnop", "****mnop"), ("****", "****"), ("****and-a-long-rest", "****rest"), ("****mnopq", "****"),
    ],
)  # fmt: skip
def test_of_a_long_secret_the_last_four_characters_are_shown(secret: str, shown: str) -> None:
    assert masked(secret) == shown


@pytest.mark.parametrize(
    "name",
    ["authorization", "Authorization", "proxy-authorization", "x-api-key", "X-Api-Key", "api_key", "apiKey", "cookie",
     "set-cookie", "x-amz-security-token", "x-auth-token", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "token",
     "key", "sig", "X-Amz-Signature", "accessSecret", "accessId", "RUNPOD_API_KEY", "pwd"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize(
    "name",
    ["content-type", "host", "traceparent", "idempotency-key", "sec-websocket-key", "TOKENIZERS_PARALLELISM",
     "MAX_TOKENS", "MONKEY", "x-emulator-namespace", "AUTHOR", "PASSENGERS", "x-tenant", "workers_max", ""],
)  # fmt: skip
def test_names_of_nothing_secret(name: str) -> None:
    assert not names_secret(name)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("authorization", f"Bearer {KEY}", "Bearer ****mnop"),
        ("authorization", f"bearer   {KEY} ", "bearer ****mnop"),
        ("authorization", KEY, "****mnop"),
        ("authorization", "short", "****"),
        ("authorization", f"Basic {KEY}", "Basic ****"),
        ("authorization", f"Digest username=u, response={KEY}", "Digest ****"),
        ("authorization", "correct horse battery staple", "****aple"),
        ("authorization", "", "****"),
        ("cookie", f"pin=1234; session={KEY}", "****"),
        ("x-api-key", KEY, "****mnop"),
        ("x-tenant", "acme", "acme"),
        ("user-agent", "Go-http-client/2.0", "Go-http-client/2.0"),
    ],
)
def test_headers(name: str, value: str, shown: str) -> None:
    assert header(name, value) == MASKS.header(name, value) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"http://user:{KEY}@h/x", "http://user:****mnop@h/x"),
        (f"https://{KEY}@h:9/x", "https://****mnop@h:9/x"),
        ("http://user:p@ss@h/", "http://user:****@h/"),
        (f"http://h/x?a=1&token={KEY}&api_key={KEY}#f", "http://h/x?a=1&token=****mnop&api_key=****mnop#f"),
        (f"a=1&X-Amz-Signature={KEY}", "a=1&X-Amz-Signature=****mnop"),
        (f"api_key={KEY}", "api_key=****mnop"),
        (f'{{"accessSecret": "{KEY}", "a": "b"}}', '{"accessSecret": "****mnop", "a": "b"}'),
        (f'{{"accessSecret": "{KEY}', '{"accessSecret": "****mnop'),
        (f"{{'api_key': '{KEY}'}}", "{'api_key': '****mnop'}"),
        (json.dumps(json.dumps({"password": KEY})), json.dumps(json.dumps({"password": "****mnop"}))),
        (f"HF_TOKEN={KEY} python", "HF_TOKEN=****mnop python"),
        (f"HF_TOKEN='{KEY}' python", "HF_TOKEN='****mnop' python"),
        (f"Authorization: Bearer {KEY}", "Authorization: Bearer ****mnop"),
        (f"authorization: {KEY}", "authorization: ****mnop"),
        (f"sent Bearer {KEY}, refused", "sent Bearer ****mnop, refused"),
        ("the key rpa_ABCDEFGHIJKLMNOP is wrong", "the key ****MNOP is wrong"),
        (f"a {OWN} b", "a ****rver b"),
        (f"a?x={OWN}", "a?x=****rver"),
        ("a schl\\u00fcssel-dienst b", "a ****enst b"),
        ("a schl%C3%BCssel-dienst b", "a ****enst b"),
        (f"{OWN}@{'x' * 70_000}", f"****rver@{'x' * 70_000}"),
    ],
)
def test_texts(text: str, shown: str) -> None:
    assert MASKS.text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "", "no token provided", "invalid api key", "the worker is short of keys", "a = b, c == d", "max_tokens=100",
        "http://127.0.0.1:9/hook?a=1&b=2", "user@example.org", "start with --api-key KEY, or --no-auth",
        "send the header 'Authorization: Bearer KEY', to use it", '{"token": "Hel", "key": "value"}',
        "body: expected 1, got 2", "header x-tenant: missing", "--set strip_empty_input=keep hands it out",
    ],
)  # fmt: skip
def test_texts_without_a_secret_stay_as_they_are(text: str) -> None:
    assert MASKS.text(text) == text


def test_values() -> None:
    value = {
        "input": {"token": "Hel", "api_key": KEY, "deep": [{"password": 12345678, "ok": True, "none": None}], "n": 1.5},
        "s3Config": {
            "accessId": KEY,
            "accessSecret": KEY,
            "bucketName": "b",
            "other": KEY,
            "endpointUrl": "https://s3/",
        },
        "credentials": {"user": "u", "list": [KEY]},
        "headers": {"x-token": KEY, "x-tenant": "acme"},
        "webhook": f"http://u:{KEY}@h/",
        "note": OWN,
    }
    assert MASKS.value(value) == {
        "input": {
            "token": "Hel", "api_key": "****mnop", "deep": [{"password": "****", "ok": True, "none": None}], "n": 1.5,
        },
        "s3Config": {
            "accessId": "****mnop", "accessSecret": "****mnop", "bucketName": "b", "other": "****mnop",
            "endpointUrl": "https://s3/",
        },
        "credentials": {"user": "****", "list": ["****mnop"]},
        "headers": {"x-token": "****mnop", "x-tenant": "acme"},
        "webhook": "http://u:****mnop@h/",
        "note": "****rver",
    }  # fmt: skip


@pytest.mark.parametrize("value", [None, 1, True, "text", [], {}, [[["a"]]], {"a": {"b": [1, None, "c"]}}])
def test_values_without_a_secret_stay_as_they_are(value: Any) -> None:
    assert MASKS.value(json.loads(json.dumps(value))) == value


def test_a_value_may_nest_as_deep_as_it_likes() -> None:
    deep: Any = OWN
    for _ in range(20_000):
        deep = [deep]
    found = MASKS.value(deep)
    while isinstance(found, list):
        (found,) = found
    assert found == "****rver"


def test_variables_members_and_commands() -> None:
    assert (masked_variable("HF_TOKEN", KEY), masked_variable("MODEL", "tiny")) == ("****mnop", "tiny")
    assert (member("apiKey", KEY), member("token", "Hel"), member("secret", [1])) == ("****mnop", "Hel", [1])
    words = f"python h.py --hf-token {KEY} --n 3 --password='{KEY}' --key {OWN}"
    assert MASKS.text(words) == "python h.py --hf-token ****mnop --n 3 --password='****mnop' --key ****rver"


def test_more_secrets_may_become_known() -> None:
    more = MASKS.and_known("key-of-a-client")
    assert more.text(f"{OWN} key-of-a-client") == "****rver ****ient"
    assert MASKS.text("key-of-a-client") == "key-of-a-client"


@timed
@pytest.mark.parametrize(
    "part",
    ["a", "a=b ", '"x": "y", ', "://", 'key="', '"api_key": "', "://a", "Bearer ", "\\", "password\\'", "secret", "sk-",
     "authorization:", "authorization: ", 'password"   ', "eyJa-", "eyJa.", "key=", "?token=", "basic ", "\n", "x@://"],
)  # fmt: skip
def test_no_text_takes_long(part: str) -> None:
    """Half a second is forty times what the longest takes; a search that goes back again and again takes minutes."""
    for text in (part * (64 * 1024 // len(part)), "secret" + part * 9_000, 'password"' + part + " " * 60_000):
        begin = time.perf_counter()
        MASKS.text(text[: 64 * 1024])
        expect_within(time.perf_counter() - begin, 0.5)
