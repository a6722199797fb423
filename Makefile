# `make run` and `make test` build what they need in .venv and say what they are doing.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
# The first of these that is Python 3.11 or 3.12; `make run PYTHON=...` names another.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$p && break; done)
