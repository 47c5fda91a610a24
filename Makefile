# The tasks of this project. `make` alone lists them. Nothing needs to be set up by hand before.
#   make demo GUI=1            show the result in napari
#   make test ARGS="-k track"  pass options on to pytest
#   make test JOBS=4           so many tests at a time, with a virtual screen each
#   make PYTHON=/path/to/python3.12 setup
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
export PYTHON

# Paths here are relative, so the checkout may stand in a folder with spaces in its name.
BIN := .venv/bin
PY := $(BIN)/python
STAMP := .venv/.ready

# Tests open real windows, and those that type need the focus. On Linux pytest-xvfb gives every process
# of tests a virtual screen of its own (--no-xvfb in ARGS: on yours); where Xvfb is missing, Qt draws
# off-screen, and the tests that need OpenGL are skipped. Elsewhere there is one screen, for one process.
ifeq ($(shell uname -s),Linux)
JOBS = 2
PLATFORM = QT_QPA_PLATFORM=$(if $(shell command -v Xvfb),xcb,offscreen)
ifeq ($(DISPLAY)$(WAYLAND_DISPLAY),)
SCREEN = $(if $(shell command -v xvfb-run),xvfb-run -a -s "-screen 0 1400x900x24",env QT_QPA_PLATFORM=offscreen)
endif
else
JOBS = 0
endif
# The tests of a file stay together, for they share fixtures. A thread a process: they share the cores.
PYTEST = env OMP_NUM_THREADS=1 $(PLATFORM) $(PY) -m pytest -n $(JOBS) --dist loadfile

.PHONY: help setup system demo test test-slow lint format docs screenshots weights bench clean

help:  ## list the tasks
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{ printf "  make %-11s %s\n", $$1, $$2 }'

setup: system $(STAMP)  ## system libraries, .venv, and this project in it

system:
	@tools/setup.sh system

$(STAMP): pyproject.toml tools/setup.sh | system
	@tools/setup.sh venv
	@touch $(STAMP)

demo: setup  ## the whole job on a simulated sample (GUI=1: then show it in napari)
	$(BIN)/napari-dynaclr demo $(if $(GUI),--gui) $(ARGS)

test: setup  ## the tests, but for the slow ones
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: setup  ## the slow tests
	$(PYTEST) -m slow $(ARGS)

lint: setup  ## ruff, mypy, import directions, the napari manifest
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(BIN)/lint-imports
	QT_QPA_PLATFORM=offscreen $(BIN)/npe2 validate --imports src/napari_dynaclr/napari.yaml

format: setup  ## rewrite the code as ruff would
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

docs: setup  ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

screenshots: setup  ## the tutorial's steps in a real window, and its pictures
	$(SCREEN) $(PY) tools/screenshots.py $(ARGS)

weights: setup  ## train the networks for the simulated sample anew (two hours)
	tools/weights.sh

bench: setup  ## the benchmarks
	$(PY) benchmarks/run_all.py $(ARGS)

clean:  ## remove .venv and everything built (no results of yours)
	rm -rf .venv site dist build .coverage htmlcov .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
