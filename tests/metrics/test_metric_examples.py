"""The examples worked by hand in the docstrings are run as they stand."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import facings.metrics

MODULES = sorted(module.name for module in pkgutil.iter_modules(facings.metrics.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name: str) -> None:
    module = importlib.import_module(f"facings.metrics.{name}")
    outcome = doctest.testmod(module, extraglobs={"np": np})
    assert outcome.attempted > 0, f"{name} has no worked example"
    assert outcome.failed == 0
