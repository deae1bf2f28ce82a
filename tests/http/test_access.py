"""The key: who is let in, and what the others are told."""

import pytest
from runpod_emulator.core.errors import InvalidKey
from runpod_emulator.http.access import Access

from tests.doors.doors import JOB, KEY, PROFILES, expect_problem, open_doors

ANY_KEY = Access()
TWO_KEYS = Access(keys=frozenset({"rpa_ONE", "rpa_TWO"}))
NO_AUTH = Access(required=False)

ROUTES = [
    ("POST", "/run"), ("POST", "/runsync"), ("POST", "/cancel/x"), ("POST", "/retry/x"), ("POST", "/purge-queue"),
    ("GET", "/status/x"), ("POST", "/status/x"), ("GET", "/status-sync/x"), ("POST", "/status-sync/x"),
    ("GET", "/stream/x"), ("POST", "/stream/x"), ("GET", "/health"), ("GET", "/requests"),
]  # fmt: skip


async def ask(access, authorization, name="authorization"):
    doors = open_doors(access=access, key=None)
    headers = {} if authorization is None else {name: authorization}
    return await doors.get("/health", headers=headers)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_no_key_is_refused_on_every_route(method, path, profile):
    doors = open_doors(profile, key=None)
    answer = await doors.http.request(method, f"/v2/ep{path}", content=JOB if method == "POST" else None)
    expect_problem(answer, 401, "Unauthorized", "no token provided")
    assert answer.headers["x-emulator-fidelity"] == "observed; row=error.no_token"


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_wrong_key_is_refused_on_every_route(method, path):
    doors = open_doors(access=TWO_KEYS, key="rpa_THREE")
    answer = await doors.http.request(method, f"/v2/ep{path}", content=JOB if method == "POST" else None)
    expect_problem(answer, 401, "Unauthorized", "invalid api key")
    assert answer.headers["x-emulator-fidelity"] == "observed; row=error.invalid_key"


@pytest.mark.parametrize("empty", ["", " ", "Bearer", "Bearer ", "bearer   ", "BEARER"])
@pytest.mark.parametrize("access", [ANY_KEY, TWO_KEYS])
async def test_an_empty_key_is_no_key(access, empty):
    expect_problem(await ask(access, empty), 401, "Unauthorized", "no token provided")


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "BeArEr {}", "Bearer   {}", "{}", " {} "])
async def test_every_form_of_a_key_is_understood(form):
    for name in ("authorization", "Authorization", "AUTHORIZATION"):
        assert (await ask(ANY_KEY, form.format(KEY), name)).status_code == 200
        assert (await ask(TWO_KEYS, form.format("rpa_TWO"), name)).status_code == 200
        expect_problem(await ask(TWO_KEYS, form.format("rpa_two"), name), 401, "Unauthorized", "invalid api key")


@pytest.mark.parametrize("key", ["x", "any thing", "Basic dTpw", "Bearer Bearer", "żółw"])
async def test_any_key_will_do_by_default(key):
    assert (await ask(ANY_KEY, key.encode())).status_code == 200


@pytest.mark.parametrize("key", ["rpa_ONE", "rpa_TWO"])
async def test_each_of_the_given_keys_will_do(key):
    assert (await ask(TWO_KEYS, f"Bearer {key}")).status_code == 200


@pytest.mark.parametrize("key", ["rpa_ON", "rpa_ONEx", "rpa_ONE rpa_TWO", "rpa_ONE,rpa_TWO", "Basic rpa_ONE"])
async def test_nothing_but_a_given_key_will_do(key):
    expect_problem(await ask(TWO_KEYS, f"Bearer {key}"), 401, "Unauthorized", "invalid api key")


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "wrong"])
async def test_without_auth_nobody_is_asked(authorization):
    assert (await ask(NO_AUTH, authorization)).status_code == 200


@pytest.mark.parametrize("key", ["żółw", "schlüssel", "ключ от двери", "鍵"])
async def test_a_key_may_have_any_letters(key):
    """Clients send it in UTF-8, and where they can some in Latin-1."""
    access = Access(keys=frozenset({"rpa_ONE", key}))
    sent = [key.encode()] + ([key.encode("latin-1")] if key == "schlüssel" else [])
    for form in sent:
        assert (await ask(access, b"Bearer " + form)).status_code == 200
        assert (await ask(access, b"Bearer " + form + b"x")).status_code == 401
    assert (await ask(access, b"Bearer " + b"?" * len(key))).status_code == 401


def test_every_key_is_compared_and_none_with_an_early_end(monkeypatch):
    """The time of an answer tells nothing of a key: each is compared as a whole, also after one that fits."""
    compared = []

    def compare(one, other):
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("runpod_emulator.http.access.hmac.compare_digest", compare)
    for given in ("rpa_ONE", "rpa_TWO", "rpa_THREE"):
        compared.clear()
        try:
            TWO_KEYS.check(given)
        except InvalidKey:
            assert given == "rpa_THREE"
        assert sorted(compared) == [(given.encode(), b"rpa_ONE"), (given.encode(), b"rpa_TWO")]


def test_no_key_is_in_what_is_printed_of_the_access():
    assert "rpa_" not in repr(TWO_KEYS)


async def test_the_key_comes_before_the_endpoint_the_job_and_the_body():
    doors = open_doors(access=TWO_KEYS, key=None)
    for path, content in (("/v2/nope/run", JOB), ("/v2/ep/run", b"not json"), ("/v2/ep/cancel/x", b"")):
        expect_problem(await doors.http.post(path, content=content), 401, "Unauthorized", "no token provided")


async def test_who_is_not_let_in_does_not_count_against_the_limits():
    doors = open_doors(access=TWO_KEYS, key=None, purge_rate=1)
    for _ in range(3):
        assert (await doors.post("/purge-queue")).status_code == 401
    assert (await doors.post("/purge-queue", headers={"authorization": "rpa_ONE"})).status_code == 200
