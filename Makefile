# `make run` and `make test` build what they need in .venv and say what they are doing.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
LINKS := $(VENV)/types
ROOMS := edge train convert benchmarks demo
# The first of these that is Python 3.11 or 3.12; `make run PYTHON=...` names another.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$p && break; done)

DATA ?=
RECIPE ?=
WEIGHTS ?=
OUT ?=
IMAGE ?=
ARGS ?=

.PHONY: help install run test lint lock litertjs clean

help:
	@echo 'make run                          draw phantoms, train, convert, gate, benchmark, report, predict'
	@echo 'make run DATA=FOLDER RECIPE=NAME  the same with your radiographs'
	@echo '                                  (WEIGHTS=FILE for the starting weights, OUT=FOLDER for the run)'
	@echo 'make run IMAGE=FILE               the same with your radiograph in the last step, for the model that ships'
	@echo 'make test                         style, types and tests; ARGS="-k word" for some of them'
	@echo 'make lint                         style and types alone'
	@echo 'make lock                         write requirements.lock anew'
	@echo 'make litertjs                     fetch LiteRT.js anew, in its pinned version (needs npm)'

install: $(READY)

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or 3.12 is needed; name one with PYTHON=/path/to/python3.11'; exit 1; }
	@echo '== building $(VENV) with $(PYTHON) and the versions of requirements.lock (about 3 GB, once)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

run: $(READY)
	@echo '== training, converting, measuring and using a model'
	@$(BIN)/osteolite run $(if $(DATA),'$(DATA)') $(if $(RECIPE),--recipe '$(RECIPE)') \
		$(if $(WEIGHTS),--weights '$(WEIGHTS)') $(if $(OUT),--out '$(OUT)') $(if $(IMAGE),--image '$(IMAGE)')

test: lint
	@echo '== tests'
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# The rooms lie at the top but install as osteolite.*: mypy sees them through links of those names.
lint: $(READY)
	@echo '== style and types'
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@mkdir -p $(LINKS)/osteolite
	@for room in $(ROOMS); do ln -sfn "$(CURDIR)/$$room" $(LINKS)/osteolite/$$room; done
	@MYPYPATH=$(LINKS) $(BIN)/mypy $(addprefix -p osteolite.,$(ROOMS))

litertjs: $(READY)
	@$(BIN)/python -m osteolite.edge.browser.vendor

lock:
	@$(PYTHON) -m venv $(VENV)/uv
	@$(VENV)/uv/bin/pip install --quiet uv
	@$(VENV)/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
		--no-emit-package osteolite --custom-compile-command 'make lock' pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
