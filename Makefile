# Needs make and Python 3.11 or newer; everything else is installed into .venv.
#   make test ARGS="-k codec"       hands arguments on
#   make test PYTHON=python3.13 VENV=.venv-3.13

VENV ?= .venv
PYTHON ?=
ARGS ?=
# Half as many again as there are cores: tests wait, for processes and for time to pass.
WORKERS ?= $(shell echo $$(( ($$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) * 3 + 1) / 2 )))
BENCH ?= $(sort $(wildcard benchmarks/bench_*.py))

# Hundreds of tests start processes of their own: each would compile the library anew.
export PYTHONDONTWRITEBYTECODE :=

BIN := $(VENV)/bin
RUN := $(BIN)/python
PIP_INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check
CLI := $(VENV)/.installed-cli
DEV := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint types docs package check coverage mutants bench format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

demo: $(CLI) ## see it work: installs the library with its command line, runs the demo
	@$(BIN)/outlive demo $(ARGS)

test: $(DEV) ## run the tests
	@$(RUN) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: lint types test package ## all that has to hold before a change is merged

lint: $(DEV) ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(DEV) ## mypy and pyright, both strict
	@$(BIN)/mypy
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(RUN)

docs: $(DEV) ## run the code blocks of README.md and docs/, check links (part of test)
	@$(RUN) -m pytest tests/test_docs.py $(ARGS)

package: $(DEV) ## build wheel and sdist, install the wheel in a scratch environment, import it
	@$(RUN) tests/check_package.py

coverage: $(DEV) ## run the tests and show the lines and branches that none of them reached
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

mutants: $(DEV) ## change the pure parts bit by bit, and show which changes no test notices
	@$(PIP_INSTALL) 'mutmut == 3.8.1'
	@$(RUN) tests/mutate.py $(ARGS)

bench: $(CLI) ## run the benchmarks; one of them: make bench BENCH=benchmarks/bench_log.py
	@test -n "$(BENCH)" || echo "no benchmarks/bench_*.py yet"
	@set -e; for file in $(BENCH); do \
		name=$${file%.py}; $(RUN) -m "$$(echo "$$name" | tr / .)" $(ARGS); \
	done

format: $(DEV) ## put the code into the house format, fix what ruff can fix
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

clean: ## remove caches and build results; .venv stays
	@rm -rf .mutants build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name '.?*' -prune -o -type d -name __pycache__ -exec rm -rf {} +

$(RUN):
	@found=; \
	for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			found=$$python; break; \
		fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Outlive needs Python 3.11 or newer; $(if $(PYTHON),$(PYTHON) is not one,there is none on the PATH)." >&2; \
		echo "Install one (Debian: apt install python3 python3-venv), or name it:" >&2; \
		echo "    make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi; \
	echo "creating $(VENV) with $$("$$found" --version)"; \
	if ! "$$found" -m venv --clear $(VENV); then \
		rm -rf $(VENV); \
		echo "\"$$found -m venv\" failed (Debian: apt install python3-venv)." >&2; \
		exit 1; \
	fi

$(CLI): pyproject.toml | $(RUN)
	@echo "installing outlive[cli] into $(VENV)"
	@$(PIP_INSTALL) -e '.[cli]'
	@touch $@

$(DEV): pyproject.toml | $(RUN)
	@echo "installing outlive[dev] into $(VENV)"
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $(CLI) $@
