# `make run` and `make test` build what they need in .venv and say what they are doing.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
LINKS := $(VENV)/types
ROOMS := edge train convert benchmarks demo
SUPPORTED := (3, 11), (3, 12), (3, 13)
# The first of these that is a supported Python; `make run PYTHON=...` names another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in ($(SUPPORTED)))' 2>/dev/null && echo $$p && break; done)
# Two processes share the tests; a file stays in one of them, so that its fixtures are made once.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

DATA ?=
RECIPE ?=
WEIGHTS ?=
OUT ?=
IMAGE ?=
ARGS ?=

.PHONY: help install run check test lint routes lock litertjs clean

help:
	@echo 'make run                          draw phantoms, train, convert, gate, benchmark, report, predict'
	@echo 'make run DATA=FOLDER RECIPE=NAME  the same with your radiographs'
	@echo '                                  (WEIGHTS=FILE for the starting weights, OUT=FOLDER for the run)'
	@echo 'make run IMAGE=FILE               the same; the last step scores your radiograph with the shipped model'
	@echo 'make check                        style, types and the quick tests'
	@echo 'make test                         style, types and all tests; ARGS="-k word" for some of them'
	@echo 'make lint                         style and types'
	@echo 'make routes                       trace the main commands and write their routes into CONTRIBUTING.md'
	@echo 'make lock                         write requirements.lock anew'
	@echo 'make litertjs                     fetch LiteRT.js in its pinned version (needs npm)'

install: $(READY)

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo 'Python 3.11, 3.12 or 3.13 is needed; name one with PYTHON=/path/to/python3.11'; exit 1; }
	@echo '== building $(VENV) with $(PYTHON) and the versions of requirements.lock (about 3 GB, once)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

run: $(READY)
	@echo '== training, converting, measuring and using a model'
	@$(BIN)/osteolite run $(if $(DATA),'$(DATA)') $(if $(RECIPE),--recipe '$(RECIPE)') \
		$(if $(WEIGHTS),--weights '$(WEIGHTS)') $(if $(OUT),--out '$(OUT)') $(if $(IMAGE),--image '$(IMAGE)')

check: lint
	@echo '== quick tests'
	@$(PYTEST) -m 'not slow' $(ARGS)

test: lint
	@echo '== tests'
	@$(PYTEST) $(ARGS)

# The rooms lie at the top but install as osteolite.*: mypy sees them through links of those names.
lint: $(READY)
	@echo '== style and types'
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@mkdir -p $(LINKS)/osteolite
	@for room in $(ROOMS); do ln -sfn "$(CURDIR)/$$room" $(LINKS)/osteolite/$$room; done
	@MYPYPATH=$(LINKS) $(BIN)/mypy $(addprefix -p osteolite.,$(ROOMS)) -p tests

routes: $(READY)
	@$(BIN)/python -m tests.routes

litertjs: $(READY)
	@$(BIN)/python -m osteolite.edge.browser.vendor

lock:
	@$(PYTHON) -m venv $(VENV)/uv
	@$(VENV)/uv/bin/pip install --quiet uv
	@$(VENV)/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
		--no-emit-package osteolite --custom-compile-command 'make lock' pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
