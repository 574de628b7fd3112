# Every target sets up .venv by itself: `make report` and `make test` are all there is to know.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# the benchmarks' own environment: the package, the same torch, and the peers
PEERS := .venv-peers
PHOTOS ?=

# where Python may not keep what it has compiled, each process compiles torch and the rest anew: 8 seconds
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help report test lab notebooks bench docs lock clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

report: $(READY)  ## run every lesson on the built-in data, leave reports/index.html
	@$(BIN)/cnnviz run

# Lessons compute on one core, as in a report: the same bits, not only the same facts.
test: $(READY)  ## style and types, unit tests, commands and pages, the lessons' stored outputs against a fresh run
	@echo "Style and types (1 of 4)"
	@$(BIN)/ruff check -q cnnviz_utils benchmarks
	@$(BIN)/ruff format -q --check cnnviz_utils benchmarks notebooks/*.ipynb
	@$(BIN)/mypy
	@echo "Unit tests (2 of 4)"
	@OMP_NUM_THREADS=1 $(BIN)/pytest tests --ignore=tests/end_to_end -n 2 --dist worksteal
	@echo "Commands, kernels, pages in a browser, full disks: end to end (3 of 4)"
	@OMP_NUM_THREADS=1 $(BIN)/pytest tests/end_to_end -n 2 --dist worksteal
	@echo "The lessons, run again and compared with their stored outputs (4 of 4)"
	@OMP_NUM_THREADS=1 $(BIN)/pytest --nbval --nbval-current-env --nbval-cell-timeout=1800 -p no:cacheprovider notebooks

lab: $(READY)  ## JupyterLab on the lessons
	@$(BIN)/cnnviz lab

notebooks: $(READY)  ## run every lesson in place and store its outputs
	@$(BIN)/cnnviz execute

bench: $(PEERS)/.ready  ## side by side with peers (an environment of its own); tables, JSON in reports/benchmarks
	@for file in cams gpu menagerie; do echo "$$file"; $(PEERS)/bin/python benchmarks/$$file.py || exit 1; done
	@if [ -n "$(PHOTOS)" ]; then $(PEERS)/bin/python benchmarks/training.py "$(PHOTOS)"; else \
	  echo "training from JPEG files: make bench PHOTOS=a folder with a folder of photos for each class"; fi

$(PEERS)/.ready: $(READY) benchmarks/requirements.txt
	@echo "Setting up $(PEERS) with the peers: minutes and 6 GB, once"
	@test -x $(PEERS)/bin/python || $(BIN)/python -m venv $(PEERS)
	@$(BIN)/uv pip freeze -q --python $(BIN)/python | grep -E '^(torch|torchvision)==' > $(PEERS)/same.txt
	@$(BIN)/uv pip install -q --python $(PEERS)/bin/python -e . -r benchmarks/requirements.txt -c $(PEERS)/same.txt
	@touch $@

docs: $(READY)  ## a reference of the library from its docstrings, in docs/reference
	@$(BIN)/pdoc -d markdown -o docs/reference cnnviz_utils '!cnnviz_utils.cli.__main__'
	@echo "docs/reference/index.html"

lock: $(READY)  ## requirements.lock from pyproject.toml: all platforms, hashed, no addresses
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --extra test --extra imbalance --extra grading --extra ray --upgrade pyproject.toml -o requirements.lock

clean:  ## forget caches and reports (real data stays)
	rm -rf data/cache reports/* docs/reference .pytest_cache .ruff_cache .mypy_cache
	git checkout -q -- reports/README.md 2>/dev/null || true

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11: install a newer one, or say: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up .venv from requirements.lock: about a minute and 6 GB, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "No virtual environment could be made: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check 'uv>=0.5'
	@$(BIN)/uv pip sync -q --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $(READY)
	@echo "Ready"
