"""An effect is told what it wants to know, and is not called for anything else."""

from __future__ import annotations

import inspect

from runpod_emulator.core.jobs.job import Failed, Submitted
from runpod_emulator.core.jobs.listeners import ALL
from runpod_emulator.core.records.news import Effect, News

OF_JOBS = ("won", "heard")
METHODS = [
    name
    for name, _ in inspect.getmembers(Effect, inspect.isfunction)
    if not name.startswith("_") and name not in OF_JOBS
]


class Curious(Effect):
    """Overrides one method."""

    def tried(self, attempt: object) -> None:
        pass


class MoreCurious(Curious):
    """Overrides one more."""

    events = (Submitted, Failed)

    def won(self, transition: object) -> None:
        pass


def test_each_kind_of_news_is_told_to_those_who_want_it():
    one, two = Curious(), MoreCurious()
    news = News(iter([Effect(), one, two]))
    assert {name: list(getattr(news, name)) for name in METHODS} == {
        name: [one.tried, two.tried] if name == "tried" else [] for name in METHODS
    }


def test_each_event_of_a_job_is_told_to_those_whom_it_concerns():
    one, two = MoreCurious(), MoreCurious()
    two.events = ALL
    news = News([one, two, Curious()])
    both = dict.fromkeys((Submitted, Failed), (one.won, two.won))
    assert news.won == {kind: both.get(kind, (two.won,)) for kind in ALL}
    assert news.heard == dict.fromkeys(ALL, ())


def test_an_effect_that_joins_is_told_until_it_leaves():
    first, guest = MoreCurious(), MoreCurious()
    news = News([first])
    lists = {name: getattr(news, name) for name in (*OF_JOBS, *METHODS)}
    before = {name: len(one) for name, one in lists.items()}
    with news.telling([guest]):
        assert (news.won[Failed], news.tried) == ((first.won, guest.won), [first.tried, guest.tried])
    assert (news.won[Failed], news.tried) == ((first.won,), [first.tried])
    assert {name: getattr(news, name) is one for name, one in lists.items()} == dict.fromkeys(lists, True)
    assert {name: len(one) for name, one in lists.items()} == before


def test_an_effect_does_nothing_by_default():
    for name in (*OF_JOBS, *METHODS):
        assert getattr(Effect(), name)(None) is None
