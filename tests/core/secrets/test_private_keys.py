"""Private keys that are printed line by line."""

from __future__ import annotations

from runpod_emulator.core.secrets.private_keys import PrivateKeys


def test_a_private_key_that_comes_line_by_line_is_hidden() -> None:
    keys = PrivateKeys()
    key = [
        "-----BEGIN RSA PRIVATE KEY-----",
        "Proc-Type: 4,ENCRYPTED",
        "",
        "QUJDREVGR0hJSktM" * 4,
        "QUJDRA==",
        "-----END RSA PRIVATE KEY-----",
    ]
    assert [keys.shown(line) for line in ["word", *key, "word", "QUJDRA=="]] == [
        "word", key[0], "****", "****", "****", "****", key[-1], "word", "QUJDRA==",
    ]  # fmt: skip


def test_what_is_no_key_ends_it() -> None:
    keys = PrivateKeys()
    assert [keys.shown(line) for line in ("-----BEGIN PRIVATE KEY-----", "a word of prose", "QUJDRA==")] == [
        "-----BEGIN PRIVATE KEY-----", "a word of prose", "QUJDRA==",
    ]  # fmt: skip
