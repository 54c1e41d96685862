"""The examples worked by hand in the docstrings of the protocols are run as they stand."""

import doctest
import importlib

import numpy as np
import pytest


@pytest.mark.parametrize("name", ["steadiness", "robustness", "verdict", "cross_store", "rows"])
def test_examples_hold(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"facings.benchmark.{name}"), extraglobs={"np": np})
    assert outcome.attempted > 0 and outcome.failed == 0
