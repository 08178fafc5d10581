# Each target does all of its own set-up: a virtual environment in .venv, from pyproject.toml.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: help demo test lint types cross numbers methods gallery clean

help:
	@echo "make demo     simulate a small data set, study its defocus, compare with the truth"
	@echo "make test     run the tests (those on real data need PARFOCAL_DATA or ../shared/data)"
	@echo "make lint     ruff: lint and format"
	@echo "make types    pyright"
	@echo "make cross    cross-checks against RELION 3.1, if it is installed"
	@echo "make numbers  measure the numbers of README.md again: STRUCTURE=6z6u.pdb"
	@echo "make methods  measure the tables of methods, costs and slopes again (an hour): STRUCTURE=6z6u.pdb"
	@echo "make gallery  make docs/gallery again (needs chromium)"

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

demo: .venv/ready
	rm -rf demo
	$(BIN)/parfocal demo --out demo

test: .venv/ready
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/unit tests/contract tests/truth

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/pyright

cross: .venv/ready
	$(BIN)/python -m pytest tests/cross

numbers: .venv/ready
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/apoferritin.py --structure $(STRUCTURE) --relion --readme

methods: .venv/ready
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/methods.py --structure $(STRUCTURE) --on-images 300 --readme
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/cost.py --structure $(STRUCTURE) --readme
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/leave_one_out.py --structure $(STRUCTURE) --write
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/consensus.py --structure $(STRUCTURE) --write

gallery: .venv/ready
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/gallery.py

clean:
	rm -rf .venv demo
