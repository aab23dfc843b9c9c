# Two commands set a fresh machine up: `make install` and `make bench` (which installs first if need be).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

PEERS := .venv-peers
PARITY := .venv-parity

.PHONY: install bench update-results tables site benchmark test conformance processes artefacts slow parity faults lint lock clean

install: $(READY)

# -r with hashes for everything that runs; the project itself, editable, brings nothing of its own
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || \
		{ echo "da_bench needs Python 3.11 to 3.14, not $$($(PYTHON) --version); say make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

# build/ is ignored by git
BENCH := build/bench
bench: $(READY)
	$(BIN)/da-bench run experiments/quickstart.py --results $(BENCH)

# refreshes the committed snapshot; the other formats can be made from its archive of records
update-results: bench
	cd $(BENCH)/quickstart && cp tables.md records.jsonl.xz accuracy.png curves.png sweep.png $(CURDIR)/results/quickstart/
	$(MAKE) tables

# committed tables and cards, remade from the archives of records after a change of captions or columns
tables: $(READY)
	$(BIN)/python -m benchmarks.remake_tables

# the leaderboard of the committed archives; `da-bench leaderboard build` takes results folders and submissions too
SITE := build/site
STUDIES := $(addprefix results/,all_on_digits office31 office_caltech10 jmlr_moons)
site: $(READY)
	$(BIN)/da-bench leaderboard build --results $(STUDIES) --out $(SITE) --check

# other suites are slow to install and need another torch than anyone's own, so they get an environment of their own
$(PEERS)/.ready: benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet -r benchmarks/peers.txt
	@touch $@

benchmark: $(READY) $(PEERS)/.ready
	$(BIN)/python -m benchmarks.engine --peers $(PEERS)/bin/python

# under five minutes on two cores; the tiers below hold the longer tests, and CI runs them all
test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

# every method against every check of `da-bench check`, and over devices, stops and permuted labels
conformance: $(READY)
	$(BIN)/python -m pytest -m "conformance and not slow" -n 2

# several processes, kills, full disks, simultaneous starts
processes: $(READY)
	$(BIN)/python -m pytest -m "processes and not slow" -n 2 --dist loadfile

# committed tables, cards and site, made again from their records
artefacts: $(READY)
	$(BIN)/python -m pytest -m "artefacts and not slow" -n 2

# long proofs
slow: $(READY)
	$(BIN)/python -m pytest -m slow -n 2

# torch first, so that the others take it as it is
$(PARITY)/.ready: requirements.txt tests/parity/requirements.txt
	$(PYTHON) -m venv $(PARITY)
	$(PARITY)/bin/python -m pip install --quiet $$(grep ^torch== tests/parity/requirements.txt)
	$(PARITY)/bin/python -m pip install --quiet --require-hashes -r requirements.txt
	$(PARITY)/bin/python -m pip install --quiet -r tests/parity/requirements.txt
	$(PARITY)/bin/python -m pip install --quiet --no-deps -e .
	@touch $@

# our networks with the arrays of torchvision's, timm's and Keras': the same logits, the same step of training
parity: $(PARITY)/.ready
	$(PARITY)/bin/python -m pytest tests/parity

# kills, full disks, damaged files, starts at once: about ten minutes; writes results/benchmarks/faults.md
faults: $(READY)
	$(BIN)/python -m pytest -m slow tests/studies/test_faults.py -s

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

# needs uv; resolves for every supported Python at once; not Ray, which is for clusters and large
lock:
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra tfds --extra wandb --extra stream --extra ot --extra dev \
		--custom-compile-command "make lock" --output-file requirements.txt pyproject.toml

clean:
	rm -rf $(VENV) $(PEERS) $(PARITY) .cache .mypy_cache .pytest_cache .ruff_cache
