# stasis-callback: what a new user and a developer type. `make help` lists it.
# Everything lands in .venv/ and .cache/, both ignored by git.
.PHONY: help demo quick test nightly soak simulate planted mutants lint docs release bench bench-compare asterisk clean
.DEFAULT_GOAL := help
PYTHON ?= python3
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -n)
DEMO := .venv/.demo
VENV := .venv/.ready
CALLS ?= 2000

help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

INSTALL := .venv/bin/pip install --quiet --constraint constraints.txt --editable

# What a demo needs, and no more; what a developer needs comes on top.
$(DEMO): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(SUDO) apt-get update -q; \
		$(SUDO) apt-get install -y -q --no-install-recommends python3-venv; }
	$(PYTHON) -m venv .venv
	$(INSTALL) '.[simulated]'
	@touch $@

$(VENV): $(DEMO)
	$(INSTALL) '.[simulated,dev,docs]'
	@touch $@

asterisk: ## get a real Asterisk into .cache/ when the machine has none (root on Debian, about a minute)
	@tools/get-asterisk

demo: $(DEMO) ## one callback from missed call to xDR, shown live, on a real Asterisk where one can run
	@tools/get-asterisk || [ -z "$$CI" ]
	@.venv/bin/stasis-callback demo

ON_POSTGRES := tests/unit tests/property/test_units_are_repeatable.py tests/property/test_ledger_concurrency.py \
	tests/property/test_lock_order.py tests/property/test_nodes_machine.py tests/crash/test_dead_nodes.py tests/crash/test_database_frozen.py tests/crash/test_upgrade.py \
	tests/cli/test_cli_databases.py tests/cli/test_cli_ledger.py tests/cli/test_cli_nodes.py \
	tests/calls/test_callback.py tests/calls/test_many.py tests/calls/test_statements.py
WORKERS := -n 5 --dist loadfile --no-loadscope-reorder
quick: $(VENV) ## style and types, then what needs no Asterisk: rules, stores, documents (minutes)
	@$(MAKE) --no-print-directory lint
	.venv/bin/pytest -n 2 --dist worksteal tests/unit tests/docs tests/property/test_core_properties.py

test: $(VENV) ## the whole suite, real Asterisk included
	@tools/get-asterisk
	@tools/get-browser || [ -z "$$CI" ]
	@tools/get-client-generator || [ -z "$$CI" ]
	@tools/get-postgres
	@tools/get-mail || [ -z "$$CI" ]
	@tools/get-faults || [ -z "$$CI" ]
	@tools/get-promtool || [ -z "$$CI" ]
	@tools/get-kamailio || [ -z "$$CI" ]
	# The scenarios mostly wait for phones, so five at a time; each worker has Asterisks of its own.
	.venv/bin/pytest $(WORKERS) --ignore=tests/faults --ignore=tests/soak --durations=25
	# Where the real parts fail: apart, so that nothing that works hard stands beside.
	.venv/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=10 tests/faults tests/soak
	# Once more on PostgreSQL, what reaches the database; Asterisk and browsers do not mind which one it is.
	.venv/bin/pytest $(WORKERS) --db=postgres -m "not real" $(ON_POSTGRES)
	# Known bugs about money, each of which the tests that it names must find: a minute.
	.venv/bin/python tools/planted_bugs.py

nightly: $(VENV) ## what takes too long for every run: long outages, many examples, 500 seeds, planted bugs, a soak (hours)
	@tools/get-asterisk
	@tools/get-postgres
	@tools/get-faults
	@tools/get-kamailio
	.venv/bin/pytest -n 2 --dist loadfile -m nightly --timeout 600 --callbacks 300
	# Which lines of the rules, the money and the engine are reached, each with a floor; it takes a third more time.
	.venv/bin/pytest -n 2 --dist loadfile -m "not real and not nightly" --cov --cov-report= \
		tests/unit tests/property tests/calls tests/fake
	.venv/bin/coverage report --include='stasis_callback/core/*' --skip-covered --fail-under=80
	.venv/bin/coverage report --include='stasis_callback/store/money/*' --skip-covered --fail-under=94
	.venv/bin/coverage report --include='stasis_callback/engine/*' --skip-covered --fail-under=70
	.venv/bin/pytest -n 2 --dist loadfile tests/fuzz tests/property --hypothesis-profile=nightly --timeout 7200
	.venv/bin/pytest -s tests/soak --calls $(CALLS)
	@$(MAKE) --no-print-directory simulate planted mutants

soak: $(VENV) ## CALLS=2000 real callbacks with people who behave at random; what the service keeps of them
	@tools/get-asterisk
	.venv/bin/pytest -s tests/soak --calls $(CALLS)

SEEDS ?= 500
simulate: $(VENV) ## the whole service in virtual time, SEEDS=500 times, whatever goes wrong
	.venv/bin/python -m stasis_callback.testing.simulation --seeds $(SEEDS)

planted: $(VENV) ## plant known bugs, and see each one found by a test and by the simulation (ten minutes)
	.venv/bin/python tools/planted_bugs.py
	.venv/bin/python tools/planted_in_simulation.py

mutants: $(VENV) ## make 600 small changes to the rating and the ledger, and list those that no test finds (two hours)
	$(INSTALL) '.[simulated,dev,docs,mutants]'
	.venv/bin/python tools/mutants.py $(PARTS)

lint: $(VENV) ## style, types, layers, spelling
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python tools/mypy_tests.py
	.venv/bin/lint-imports
	.venv/bin/codespell .

docs: $(VENV) ## these pages as a site, in .cache/site
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

release: $(VENV) ## VERSION=x.y.z: is this tree fit to be released? builds its wheel, publishes nothing
	.venv/bin/python tools/release.py "$(VERSION)"

bench: $(VENV) ## measured figures, each next to its floor: a table, bench/results.json, bench/results.html
	@tools/get-asterisk
	@tools/get-postgres
	.venv/bin/python -m bench.everything

bench-compare: $(VENV) ## BASE=<revision>: is anything slower than there? the figures of both, in turns
	.venv/bin/python -m bench.compare $(BASE)

clean: ## remove what the other targets made
	rm -rf .venv .cache artefacts
