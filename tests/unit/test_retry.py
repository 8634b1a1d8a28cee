"""Trying again: how often, for how long, and what is said."""

import logging
import time

import pytest

from ess_dask.errors import ConfigError, TransientError
from ess_dask.retry import retrying

SOON = {"wait_initial": 0.001, "wait_max": 0.001, "wait_jitter": 0}


def failing(times, kind=TransientError):
    made = []

    def call():
        made.append(1)
        if len(made) <= times:
            raise kind(f"failure {len(made)}")
        return len(made)

    return call, made


@pytest.mark.parametrize(("failures", "attempts"), [(0, 1), (1, 2), (3, 4), (5, None)])
def test_the_first_call_counts_as_an_attempt(failures, attempts):
    call, _ = failing(failures)
    assert retrying(TransientError, call, logging.INFO, attempts=attempts, **SOON) == failures + 1


def test_after_the_last_attempt_its_error_is_raised(caplog):
    call, made = failing(9)
    with (
        caplog.at_level(logging.INFO, "ess_dask"),
        pytest.raises(TransientError, match="failure 3"),
    ):
        retrying(TransientError, call, logging.INFO, attempts=3, **SOON)
    assert len(made) == 3
    said = [each.getMessage() for each in caplog.records]
    assert said == ["failure 1; trying again", "failure 2; trying again"]


def test_another_error_is_raised_at_once():
    call, made = failing(9, ConfigError)
    with pytest.raises(ConfigError, match="failure 1"):
        retrying(TransientError, call, logging.INFO, attempts=3, **SOON)
    assert len(made) == 1


def test_the_time_of_the_first_call_counts():
    made = []

    def call():
        made.append(1)
        time.sleep(0.05)
        raise TransientError("slow")

    with pytest.raises(TransientError, match="slow"):
        retrying(TransientError, call, logging.INFO, attempts=None, timeout=0.02, **SOON)
    assert len(made) == 1
