# One command each. A fresh machine needs Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup setup-test setup-check demo test test-slow check bench readers docs kernels models clean

setup: $(VENV)/.default  ## the default install, with .venv/bin/hexscope

$(VENV)/.default: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

setup-test: $(VENV)/.test

$(VENV)/.test: $(VENV)/.default constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@

setup-check: $(VENV)/.check

$(VENV)/.check: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: setup  ## make the digital patient, study it, compare with the truth: open demo/report/report.html
	$(BIN)/hexscope demo -o demo

test: setup-test  ## the default tests
	$(BIN)/python -m pytest -q

test-slow: setup-test  ## the long ones
	$(BIN)/python -m pytest -q -m slow

check: setup-check  ## format, lint, types, architecture and tests
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/python -m pytest -q

bench: setup-test  ## every benchmark; each prints its table
	for file in $$(ls benchmarks/[a-z]*.py | grep -v real_data); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

readers: setup-test  ## every reader on every file that the packages ship: writes docs/readers.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check dcm2niix pydicom-data wsidicom-data
	$(BIN)/python benchmarks/readers.py --write docs/readers.md

models: setup-test  ## the models that ship, by their recipes: about two CPU hours, goes on where it was
	OMP_NUM_THREADS=1 $(BIN)/python recipes/make.py all --resume

docs: setup  ## regenerate the pages that are made from the code
	$(BIN)/python docs/make_pages.py

kernels: setup-check  ## compile the kernels anew, after an edit of src/hexscope/kernels: writes its lib/*.so
	$(BIN)/python -m hexscope.kernels.build

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
