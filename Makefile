# Everything a checkout can do. Needs make and CPython 3.9 or later; each target makes the environment it uses.
#
#   make run        serve the example on 127.0.0.1:8000
#   make test       all tests, interpreted          (ARGS="-k name" for some)
#   make lint       ruff, mypy, import-linter
#   make help       all targets

PYTHON ?= python3
ARGS ?=
BIND ?= 127.0.0.1:8000
SOAK ?= 600
ENVIRONMENT = $(PYTHON) tools/environment.py

.PHONY: help run test test-compiled lint format bench soak compiled build release-check tag reference docs clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

run: ## serve the example on 127.0.0.1:8000, from wheels of this checkout
	@$(ENVIRONMENT) run >/dev/null
	@cat examples/welcome.txt
	@cd examples && exec ../.venv/bin/server plain_wsgi:app --bind $(BIND) $(ARGS)

test: ## all tests, interpreted
	@$(ENVIRONMENT) dev >/dev/null
	@.venv-dev/bin/python -m pytest $(ARGS)

test-compiled: ## unit and conformance tests against compiled wheels
	@$(ENVIRONMENT) compiled >/dev/null
	@.venv-compiled/bin/python -m pytest packages tests/protocols $(ARGS)

lint: ## ruff, mypy and import-linter
	@$(ENVIRONMENT) dev >/dev/null
	@.venv-dev/bin/python tools/lint.py

format: ## ruff's formatter over everything
	@$(ENVIRONMENT) dev >/dev/null
	@.venv-dev/bin/python -m ruff format .

bench: ## compare with other servers; writes docs/performance-table.md
	@$(ENVIRONMENT) compiled >/dev/null
	@$(ENVIRONMENT) measured >/dev/null
	@$(ENVIRONMENT) dev >/dev/null
	@$(PYTHON) benchmarks/run.py $(ARGS)
	-@.venv-compiled/bin/python -m pip install -qq gunicorn_h1c
	@.venv-compiled/bin/python benchmarks/parse.py
	@.venv-dev/bin/python benchmarks/parse.py
	-@.venv-compiled/bin/python benchmarks/dirty.py --gunicorn $${BENCH_PEERS:-.venv-bench}/bin/gunicorn

soak: ## the long scenarios at full length, in the compiled build (SOAK=seconds each)
	@$(ENVIRONMENT) compiled >/dev/null
	@SOAK=$(SOAK) .venv-compiled/bin/python -m pytest -m soak $(ARGS)

compiled: ## compiled wheels of all six in .venv-compiled
	@$(ENVIRONMENT) compiled

build: ## sdists and wheels of all six in dist
	@$(ENVIRONMENT) dist

release-check: ## build what is published, check it, and install it into clean environments
	@$(ENVIRONMENT) dev >/dev/null
	@$(ENVIRONMENT) dist >/dev/null
	@.venv-dev/bin/python -m twine check --strict dist/*
	@for wheel in dist/*linux*.whl; do test ! -e $$wheel || .venv-dev/bin/python -m auditwheel show $$wheel || exit 1; done
	@.venv-dev/bin/python -m pytest tests/packaging $(ARGS)

tag: ## check that a package can be released, and tag it (PACKAGE=http)
	@$(PYTHON) tools/release.py --tag $(PACKAGE)

reference: ## the pages and figures of docs that are drawn from the code
	@$(ENVIRONMENT) dev >/dev/null
	@.venv-dev/bin/python tools/reference.py
	@.venv-dev/bin/python tools/draw_tables.py

docs: ## the documentation site, in build/site
	@$(ENVIRONMENT) dev >/dev/null
	@.venv-dev/bin/python -m mkdocs build --strict --site-dir build/site

clean: ## remove environments and what was built
	rm -rf .venv .venv-dev .venv-compiled .venv-measured .venv-build .venv-bench build dist
