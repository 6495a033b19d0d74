# stasis-callback: what a new user and a developer type. `make help` lists it.
# Everything lands in .venv/ and .cache/, both ignored by git.
.PHONY: help demo test lint bench asterisk clean
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv/.ready

help: ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[simulated,dev]'
	@touch $@

asterisk: ## get a real Asterisk into .cache/ when the machine has none (root on Debian, about a minute)
	@tools/get-asterisk

demo: $(VENV) ## one callback from missed call to xDR on a real Asterisk, shown live
	@tools/get-asterisk
	@.venv/bin/stasis-callback demo

test: $(VENV) ## the whole suite, real Asterisk included
	@tools/get-asterisk
	.venv/bin/pytest

lint: $(VENV) ## style, types, layers
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: $(VENV) ## measured figures, each next to its floor
	@tools/get-asterisk
	.venv/bin/python -m bench

clean: ## remove what the other targets made
	rm -rf .venv .cache artefacts
