# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := src tests benchmarks docs .ci
# Libraries that do not fight over the processors; the command line does the same for itself.
export OMP_WAIT_POLICY ?= PASSIVE
export OPENBLAS_NUM_THREADS ?= 1
# The theme speaks of its successor at every build.
export NO_MKDOCS_2_WARNING := 1
READY := $(VENV)/.ready
# One process per core runs tests, and each computes with one thread.
SUITE := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist worksteal --hypothesis-profile=ci

.PHONY: demo test quick test-slow coverage bench fuzz check lint types docs pictures wheel clean

$(READY): pyproject.toml constraints.txt
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,dev,docs]'
	@touch $@

demo: $(READY)
	$(BIN)/vitreous demo -o demo

# What fails cheaply fails first; each step is a make of its own, so that `make -j` keeps the order.
test: $(READY)
	$(MAKE) lint
	$(MAKE) types
	$(MAKE) docs
	$(MAKE) wheel
	$(MAKE) quick

quick: $(READY)
	$(SUITE) -m "not slow" --ignore=tests/test_docs.py

test-slow: $(READY)
	$(SUITE) -m slow

coverage: $(READY)
	$(BIN)/python -m pytest -q -m "not slow" --cov --cov-report=term

fuzz: $(READY)
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	nice $(BIN)/python -m benchmarks fuzz

bench: $(READY)
	$(BIN)/python -m benchmarks

check: lint types

lint: $(READY)
	$(BIN)/ruff check --no-cache $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: $(READY)
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python -m pytest -q tests/test_docs.py
	$(BIN)/python -m mkdocs build

pictures: $(READY)
	$(BIN)/python docs/make_pictures.py demo

wheel: $(READY)
	$(BIN)/python .ci/check_wheel.py

clean:
	rm -rf $(VENV) demo site bench-out build dist .coverage
