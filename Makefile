# Every target sets itself up: a virtual environment inside the clone, made once and reused.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# What pip installed is remembered by the files that decide it, so that a second run starts at once.
STAMP := $(VENV)/.installed

.PHONY: setup quickstart notebooks test test-slow lint clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

quickstart: $(STAMP)
	$(BIN)/python scripts/quickstart.py

# Of the newest quickstart; what they show is kept in logs/notebooks.
notebooks: $(STAMP)
	$(BIN)/python scripts/notebooks.py

test: $(STAMP)
	$(BIN)/python -m pytest

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m 'slow or not slow'

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .mypy_cache .ruff_cache .pytest_cache build dist
