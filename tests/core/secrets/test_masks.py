"""What is shown of secrets, and that nothing else is changed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from runpod_emulator.core.secrets.masks import Masks, header, masked, masked_variable, member, names_secret

from tests.tables import table
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


@table(
    "name",
    ["authorization", "Authorization", "proxy-authorization", "x-api-key", "X-Api-Key", "api_key", "apiKey", "cookie",
     "set-cookie", "x-amz-security-token", "x-auth-token", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "token",
     "key", "sig", "X-Amz-Signature", "accessSecret", "accessId", "RUNPOD_API_KEY", "pwd", "X-Jwt", "X-Pat",
     "X-Passcode", "X-Session-Id", "Licensekey", "JWT", "SESSION", "GITHUB_PAT", "SSHKey", "HFToken", "api%5Fkey",
     "auth[token]", "x[password]", "%70assword", "token[]", "password2"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert names_secret(name)


@table(
    "name",
    ["content-type", "host", "traceparent", "idempotency-key", "sec-websocket-key", "TOKENIZERS_PARALLELISM",
     "MAX_TOKENS", "MONKEY", "x-emulator-namespace", "AUTHOR", "PASSENGERS", "x-tenant", "workers_max", "",
     "token_count", "TOKEN_LIMIT", "auth_type", "SESSION_TIMEOUT", "PATH", "COMPAT", "%", "[]"],
)  # fmt: skip
def test_names_of_nothing_secret(name: str) -> None:
    assert not names_secret(name)


@table(
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
        (
            "sec-websocket-protocol",
            "realtime, openai-insecure-api-key.sk-ABCDEFGHIJKL1",
            "realtime, openai-insecure-api-key.****JKL1",
        ),
        (
            "sec-websocket-protocol",
            "graphql-ws, graphql-transport-ws, v12.stomp",
            "graphql-ws, graphql-transport-ws, v12.stomp",
        ),
        ("user-agent", "Go-http-client/2.0", "Go-http-client/2.0"),
    ],
)
def test_headers(name: str, value: str, shown: str) -> None:
    assert header(name, value) == MASKS.header(name, value) == shown


@table(
    ("text", "shown"),
    [
        (f"http://user:{KEY}@h/x", "http://user:****mnop@h/x"),
        (f"https://{KEY}@h:9/x", "https://****mnop@h:9/x"),
        ("http://user:p@ss@h/", "http://user:****@h/"),
        (f"http://h/x?a=1&token={KEY}&api_key={KEY}#f", "http://h/x?a=1&token=****mnop&api_key=****mnop#f"),
        (f"a=1&X-Amz-Signature={KEY}", "a=1&X-Amz-Signature=****mnop"),
        (f"api_key={KEY}", "api_key=****mnop"),
        (f"{{'accessId': '{KEY}', 'access_id': '{KEY}'}}", "{'accessId': '****mnop', 'access_id': '****mnop'}"),
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
        (f"http://u:p'{KEY}@h/", "http://u:****mnop@h/"),
        (f'http://u:p"{KEY}@h/', "http://u:****mnop@h/"),
        (f"http://u:<\\>{KEY}@h/", "http://u:****mnop@h/"),
        (f"cannot reach http://u:p'{KEY}@h/: refused", "cannot reach http://u:****mnop@h/: refused"),
        (f"{{'webhook': \"http://u:p'{KEY}@h/\"}}", "{'webhook': \"http://u:****mnop@h/\"}"),
        (f"http://u:p/{KEY}@h/", "http://u:****mnop@h/"),
        (f"http://u:p#{KEY}@h/", "http://u:****mnop@h/"),
        (f"api%5Fkey={KEY}&a=1", "api%5Fkey=****mnop&a=1"),
        (f"https://h/?auth[token]={KEY}&x[password]={KEY}", "https://h/?auth[token]=****mnop&x[password]=****mnop"),
        (f'{{"pass\\u0077ord": "{KEY}", broken', '{"pass\\u0077ord": "****mnop", broken'),
        (f'{{"password": "a\\"{KEY}", broken', '{"password": "****mnop", broken'),
        ('{"password": "a\\\\", "b": "c", broken', '{"password": "****", "b": "c", broken'),
        (f'{{"token": "{KEY}1", broken', '{"token": "****nop1", broken'),
        (f'{{"s3Config": "{KEY}", broken', '{"s3Config": "****mnop", broken'),
        (f"{{b'api_key': b'{KEY}'}}", "{b'api_key': b'****mnop'}"),
        (f"[(b'authorization', b'{KEY}'), (b'a', b'b')]", "[(b'authorization', b'****mnop'), (b'a', b'b')]"),
        (f'a\r\nname="password"\r\n\r\n{KEY}\r\n--x--', 'a\r\nname="password"\r\n\r\n****mnop\r\n--x--'),
        (
            f'name="token"; x=1\r\nContent-Type: a/b\r\n\r\n{KEY}',
            'name="token"; x=1\r\nContent-Type: a/b\r\n\r\n****mnop',
        ),
        (f"api_key: {KEY}\nmodel: tiny", "api_key: ****mnop\nmodel: tiny"),
        (f"api_key: '{KEY}'", "api_key: '****mnop'"),
        (f"api_key = {KEY}", "api_key = ****mnop"),
        (f'password = "{KEY}"', 'password = "****mnop"'),
        (f"X-Auth-Token: {KEY}\r\nA: b", "X-Auth-Token: ****mnop\r\nA: b"),
        (f"Private-Token: {KEY}", "Private-Token: ****mnop"),
        (
            f"-----BEGIN RSA PRIVATE KEY-----\n{KEY}\n{KEY}\n-----END RSA PRIVATE KEY-----\nrest",
            "-----BEGIN RSA PRIVATE KEY-----****-----END RSA PRIVATE KEY-----\nrest",
        ),
        (f"-----BEGIN OPENSSH PRIVATE KEY-----\n{KEY}", "-----BEGIN OPENSSH PRIVATE KEY-----****"),
        (f"{{'name': 'HF_TOKEN', 'value': '{KEY}'}}", "{'name': 'HF_TOKEN', 'value': '****mnop'}"),
        (f'{{"name": "MODEL", "value": "{KEY}", broken', f'{{"name": "MODEL", "value": "{KEY}", broken'),
        (f"{{'a': 'password', 'token': '{KEY}1'}}", "{'a': 'password', 'token': '****nop1'}"),
        (
            f"'api_key: {KEY}\\nX-Auth-Token: {KEY}\\ntoken: {KEY}1\\n'",
            "'api_key: ****mnop\\nX-Auth-Token: ****mnop\\ntoken: ****nop1\\n'",
        ),
        (f"'a=1\\ntoken={KEY}\\npassword={KEY}'", "'a=1\\ntoken=****mnop\\npassword=****mnop'"),
        (f"curl -u user:{KEY} http://h", "curl -u user:****mnop http://h"),
        (f"curl --user 'user:{KEY}' http://h", "curl --user 'user:****mnop' http://h"),
        (f"{OWN}@{'x' * 70_000}", f"****rver@{'x' * 70_000}"),
    ],
)
def test_texts(text: str, shown: str) -> None:
    assert MASKS.text(text) == shown


@table(
    "text",
    [
        "Did you mean one of: '--worker-key', '--workers-max', '--workers-min'?", "say --api-key --no-auth",
        "", "no token provided", "invalid api key", "the worker is short of keys", "a = b, c == d", "max_tokens=100",
        "http://127.0.0.1:9/hook?a=1&b=2", "user@example.org", "start with --api-key KEY, or --no-auth",
        "send the header 'Authorization: Bearer KEY', to use it", '{"token": "Hel", "key": "value"}',
        "secret: missing", "password: required", "api_key: Field required", "api_key = settings.get('name')",
        "token = tokenizer.decode(ids)", "max_tokens: 100", "tokens = 12345678", "author: somebody-1234567",
        '{"eos_token": "<|im_end|>1", "next_token": "abcdef123456", "token_count": "12345678"}', "python -u user:7",
        '{"a":"http://h","b":"x@y.org"}', "http://h:80/a?mail=x@y.org", "http://h:8000/a@b", "password was wrong",
        '{"token": " world", "token2": "international"}', "the signature: def f(x)", "docker run -u 1000:1000 x",
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


MEMBERS: list[tuple[str, Any]] = [
    *((name, KEY + "1") for name in (
        "token", "auth", "pass", "pwd", "signature", "sig", "HUGGING_FACE_HUB_TOKEN", "SLACK_TOKEN", "npm_token",
        "hub_token", "deployToken", "webhook_token", "ssh_key", "SecretString", "passwordHash", "private_key_pem",
        "session_id", "sessionToken", "jwt", "pat", "passcode", "licenseKey", "s3Config", "s3_config", "api_keys",
        "x-jwt", "password_confirmation", "clientSecretValue", "accessId", "access_id", "accessid", "authtoken",
    )),
    ("pass", "abc"), ("password", 12345), ("passcode", 1234), ("auth", "abc"),
]  # fmt: skip


@table(("name", "secret"), MEMBERS)
def test_members_that_hold_a_secret(name: str, secret: Any) -> None:
    text = str(secret)
    assert MASKS.value({"input": {name: secret}}) == {"input": {name: "****" + (text[-4:] if len(text) > 11 else "")}}


@table(
    ("name", "value"),
    [
        ("max_tokens", 100), ("tokens", 123456789), ("tokens", ["a", "b"]), ("token_count", 12), ("tokenizer", "a/b-1"),
        ("author", "somebody-123456"), ("key", "images/2024/first-picture.png"), ("prompt", "the password of a king"),
        ("token", " international"), ("token", "information"), ("token", 15043), ("eos_token", "<|im_end|>"),
        ("time_to_first_token", 0.25), ("pass", 3), ("signature", "def f(x: int) -> str"), ("session", {"id": 1}),
        ("path", "/a/b/c"), ("sort_key", "created-2024-01"), ("nextToken", "abcdefgh12345"), ("token_type", "Bearer"),
        ("passed", 12), ("monkey", "abcdefgh12345678"), ("keys", ["abcdefgh12345678"]), ("authors", ["somebody-12345"]),
        ("secret", True), ("public_key", "abcdefgh12345678"), ("session", "chat"), ("patience", "1234567890abc"),
    ],
)  # fmt: skip
def test_members_that_people_debug_stay(name: str, value: Any) -> None:
    assert MASKS.value({"input": {name: json.loads(json.dumps(value))}}) == {"input": {name: value}}


@table(
    ("value", "shown"),
    [
        ({"headers": [["X-Api-Key", KEY], ["A", "*/*"]]}, {"headers": [["X-Api-Key", "****mnop"], ["A", "*/*"]]}),
        ({"rawHeaders": ["X-Key", KEY, "A", "b"]}, {"rawHeaders": ["X-Key", "****mnop", "A", "b"]}),
        ([["password", KEY]], [["password", "****mnop"]]),
        ({"env": [{"name": "HF_TOKEN", "value": KEY}]}, {"env": [{"name": "HF_TOKEN", "value": "****mnop"}]}),
        ({"env": [{"name": "MODEL", "value": KEY}]}, {"env": [{"name": "MODEL", "value": KEY}]}),
        ({"Key": "password", "Value": "abc"}, {"Key": "password", "Value": "****"}),
        ({"env": {"TOKEN": KEY, "MODEL": "tiny"}}, {"env": {"TOKEN": "****mnop", "MODEL": "tiny"}}),
        ({"environment": {"KEY": "abc"}}, {"environment": {"KEY": "****"}}),
        ({"auth": ["user", KEY]}, {"auth": ["****", "****mnop"]}),
        ({"auth": {"user": "u", "x": KEY}}, {"auth": {"user": "****", "x": "****mnop"}}),
        ({"s3Config": ["abc", {"region": "eu", "x": 1}]}, {"s3Config": ["****", {"region": "eu", "x": "****"}]}),
        ({f"rpa_{KEY}": 1, "b": 2}, {"****mnop": 1, "b": 2}),
        ({f"https://u:{KEY}@h/": {OWN: [1]}}, {"https://u:****mnop@h/": {"****rver": [1]}}),
        ({f"rpa_{KEY}": 1, f"rpa_x{KEY}": 2}, {"****mnop": 1, "****mnop (2)": 2}),
        (["a", "b"], ["a", "b"]),
    ],
)  # fmt: skip
def test_names_pairs_and_what_is_below_a_name(value: Any, shown: Any) -> None:
    found = MASKS.value(value)
    assert found == shown
    assert not isinstance(found, dict) or list(found) == list(shown)


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
     "authorization:", "authorization: ", 'password"   ', "://a:b", "://:", "://a:/", '"token":"a', '"token": "\\"',
     "api_key: ", "a: ", "token = ", "pass\\u0077", 'name="password"\r\n', 'name="token"\r\n\r\na', "-u a:", "curl ",
     "'token', ", "'token', 'value': '", '"key", "', "'password', 'b", "\\n", "\\na=", "\\ntoken: ",
     "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "x[", "%5F", "a%", "auth[token]=", "\\u0061", "b'token', b'", "@",
     "://a'@", '\\"token\\": \\"', "-u", "token: \"", "token: '", "token : ",
     "name=a\n", 'name="', 'name="a"', "name=", "password=\"", "-", ".",
     "eyJa-", "eyJa.", "key=", "?token=", "basic ", "\n", "x@://"],
)  # fmt: skip
def test_no_text_takes_long(part: str) -> None:
    """Half a second is seven times what the longest takes; a search that goes back again and again takes minutes."""
    for text in (
        part * (64 * 1024 // len(part)), "secret" + part * 9_000, 'password"' + part + " " * 60_000,
        "curl @://" + part * 9_000, 'name="password" : PRIVATE KEY' + part * 9_000,
    ):  # fmt: skip
        begin = time.perf_counter()
        MASKS.text(text[: 64 * 1024])
        expect_within(time.perf_counter() - begin, 0.5)
