"""What a worker receives."""

from __future__ import annotations

import json

import pytest
from runpod_emulator.core.jobs.handout import handout
from runpod_emulator.core.platform import preset

from tests.core.jobs.test_job import QUEUED
from tests.core.steps import both_profiles


@both_profiles
def test_a_worker_gets_id_and_input_as_they_came(profile):
    job = QUEUED._replace(s3_config=None, input=b'{ "a" : 1.0, "\xc3\xa4":[ ] }')
    assert handout(job, preset(profile)) == b'{"id":"j1","input":{ "a" : 1.0, "\xc3\xa4":[ ] }}'


@both_profiles
def test_the_bucket_of_the_client_comes_along(profile):
    job = QUEUED._replace(s3_config=b'{"bucketName":"b"}')
    assert json.loads(handout(job, preset(profile))) == {"id": "j1", "input": {"a": 1}, "s3Config": {"bucketName": "b"}}


@pytest.mark.parametrize("text", [b"{}", b"{ }"])
def test_an_empty_input_is_stripped_as_observed_and_kept_as_documented(text: bytes):
    job = QUEUED._replace(input=text)
    assert json.loads(handout(job, preset("observed"))) == {"id": "j1", "s3Config": {"k": 1}}
    assert json.loads(handout(job, preset("documented"))) == {"id": "j1", "input": {}, "s3Config": {"k": 1}}
    kept = preset("observed", strip_empty_input="keep")
    assert json.loads(handout(job, kept))["input"] == {}


def test_nothing_else_of_the_record_reaches_the_worker():
    assert set(json.loads(handout(QUEUED, preset("observed")))) == {"id", "input", "s3Config"}
