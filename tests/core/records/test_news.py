"""An effect is told what it wants to know, and is not called for anything else."""

from __future__ import annotations

import inspect

from runpod_emulator.core.records.news import Effect, News

METHODS = [name for name, _ in inspect.getmembers(Effect, inspect.isfunction) if not name.startswith("_")]


class Curious(Effect):
    """Overrides one method."""

    def tried(self, attempt: object) -> None:
        pass


class MoreCurious(Curious):
    """Overrides one more."""

    def won(self, transition: object) -> None:
        pass


def test_each_kind_of_news_is_told_to_those_who_want_it():
    one, two = Curious(), MoreCurious()
    news = News(iter([Effect(), one, two]))
    wanted = {"won": [two.won], "tried": [one.tried, two.tried]}
    assert {name: list(getattr(news, name)) for name in METHODS} == {name: wanted.get(name, []) for name in METHODS}


def test_an_effect_does_nothing_by_default():
    for name in METHODS:
        assert getattr(Effect(), name)(None) is None
