# Two commands do everything on a fresh Debian 12 or 13 (as root): `make demo` and `make test`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON := .venv/bin/python
UV := .venv-lock/bin/uv
E2E := e2e-debian e2e-ubuntu e2e-spare

.PHONY: help setup check lint test unit lab-test program-test render-test agent-test engines-test e2e $(E2E) nightly demo demo-down lock

## what there is
help:
	@awk '/^## / {about = substr($$0, 4); next} /^[a-z0-9-]+:/ && about {sub(/:.*/, ""); printf "make %-13s %s\n", $$0, about} {about = ""}' \
	    $(MAKEFILE_LIST)

## .venv with everything that a run and the tests need
setup: .venv/.complete

.venv/.complete: requirements-test.txt pyproject.toml
	python3 -c 'import ensurepip, venv' 2>/dev/null || \
	    { apt-get -q update && apt-get -qy install --no-install-recommends python3 python3-venv; }
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

agent/.venv/.complete: agent/requirements-test.txt | setup
	python3 -m venv agent/.venv
	agent/.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    --only-binary=:all: -r agent/requirements-test.txt
	touch $@

# The quick part: the tests alone took 19.8 s on two cores (`make unit`), 36 s with what reads the code beside them.
## the quick part: lint and unit
check: setup
	$(MAKE) --no-print-directory --output-sync=target -j2 lint unit

## what reads the code: ruff, mypy, import-linter, shellcheck, hadolint, and that nothing secret is in it
lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/shellcheck --shell=bash voicestack/*.sh voicestack/*/*.sh
	$(PYTHON) -m tests.redaction_check
	.venv/bin/shellcheck $$(grep -rlE '^#!.*/(env )?(ba)?sh$$' .ci tests/lab/hardware tests/lab/nvidia)
	.venv/bin/hadolint */Dockerfile

## pure functions, rendered files, scripts
unit: setup
	$(PYTHON) -m pytest -q -n auto --dist worksteal tests/unit tests/render --ignore-glob='*/test_lab_*' \
	    --ignore=tests/render/readers

## pyinfra up to its first connection, the fetcher, the engines' entrypoint: as the programs they are
program-test: setup
	$(PYTHON) -m pytest -q -n auto --dist worksteal tests/programs

# The lab's stand-ins refuse what the real things refuse: that is tested before anything relies on it.
## the lab's stand-ins
lab-test: setup
	$(PYTHON) -m pytest -q -n auto --dist worksteal tests/unit/test_lab_*.py

## every rendered file, by the program that reads it (as root)
render-test: setup
	$(PYTHON) -m tests.lab requirements
	$(PYTHON) -m tests.lab readers
	$(PYTHON) -m pytest -q -n auto --dist worksteal tests/render/readers

## the agent, with a real SFU and Whisper (as root: without a network)
agent-test: setup agent/.venv/.complete
	$(PYTHON) -m tests.lab requirements
	export LIVEKIT_SERVER="$$($(PYTHON) -m tests.lab livekit)"; cd agent && .venv/bin/python -m pytest -q

# On two cores that others used too (load 8): the table 2 min 29 s, all of it 10 min; both environments, once, 8 minutes.
## the lab's engines against the real vllm and vllm-omni on the CPU, and how those end
engines-test: setup
	$(PYTHON) -m tests.lab requirements
	$(PYTHON) -m tests.engines.install
	$(PYTHON) -m pytest -q tests/engines/test_conformance.py
	$(PYTHON) -m pytest -q -n 2 tests/engines/test_lifecycle.py

# Three lanes side by side, each on a host of its own and in its own order, and then the lab's end.
e2e-debian: LANE := debian doctor gate agent_source restore
e2e-ubuntu: LANE := lab ubuntu ubuntu_releases talk commands ubuntu_teardown
e2e-spare: LANE := rebuild weights instance_connect

## deploys on three simulated hosts, and what they say when something is broken (as root)
e2e: setup
	$(PYTHON) -m tests.lab requirements
	$(MAKE) --no-print-directory --output-sync=target --keep-going -j3 $(E2E)
	$(PYTHON) -m pytest -q tests/e2e/test_zz_down.py

$(E2E):
	$(PYTHON) -m pytest -q --durations=10 $(LANE:%=tests/e2e/test_%.py)

# Cheap things first: what a second can tell need not wait for the lab.
## everything
test: check lab-test program-test render-test agent-test e2e

## what is too long for every change, after `make test` has left the lab (as root): real engines, other Dockers, Debian 12
nightly: engines-test
	$(PYTHON) -m tests.lab requirements
	$(PYTHON) -m pytest -q --durations=10 tests/e2e/test_others.py tests/e2e/test_zz_down.py

## boots a simulated GPU host, deploys onto it, calls it and hears the answer (as root)
demo: setup
	$(PYTHON) -m tests.lab requirements
	$(PYTHON) -m tests.lab demo

## removes the lab
demo-down: setup
	$(PYTHON) -m tests.lab down

## resolves requirements*.in anew
lock:
	python3 -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv
	$(UV) pip compile -q --generate-hashes --universal --python-version 3.10 --custom-compile-command "make lock" \
	    requirements.in -o requirements.txt
	$(UV) pip compile -q --generate-hashes --universal --python-version 3.10 --custom-compile-command "make lock" \
	    requirements-test.in -c requirements.txt -o requirements-test.txt
	$(UV) pip compile -q --generate-hashes --universal --python-version 3.10 --custom-compile-command "make lock" \
	    voicestack/weights/requirements-fetch.in -o voicestack/weights/requirements-fetch.txt
	$(UV) pip compile -q --generate-hashes --python-version 3.13 --python-platform x86_64-manylinux_2_28 \
	    --only-binary :all: --custom-compile-command "make lock" agent/requirements.in -o agent/requirements.txt
	$(UV) pip compile -q --generate-hashes --python-version 3.13 --python-platform x86_64-manylinux_2_28 \
	    --only-binary :all: --custom-compile-command "make lock" agent/requirements-cuda.in \
	    -c agent/requirements.txt -o agent/requirements-cuda.txt
	$(UV) pip compile -q --generate-hashes --universal --python-version 3.11 --custom-compile-command "make lock" \
	    agent/requirements-test.in -o agent/requirements-test.txt
	$(PYTHON) -m tests.engines.lock $(UV)
