# `make help` lists what can be done. Every target does its own set-up.
SHELL := /bin/sh
BIN := .venv/bin
ARGS ?=
REPORTS ?= test-reports
LAB_ROOT ?= $(CURDIR)
# The run whose outputs the site shows.
DOCS_RUN ?= $(or $(WORKSHOP_HOME),.workshop)/runs/latest
# The tests that start servers. `.ci/run` adds the cluster's, so that all run in one go.
TESTS ?= tests/local tests/notebooks
# Which tests stay together, and in order: tests/conftest.py.
PYTEST := $(BIN)/pytest
BESIDE := -n 2 --dist=loadscope --no-loadscope-reorder

# What another Python wants must not reach this one.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP

.DEFAULT_GOAL := help
.PHONY: help setup run test coverage test-fast test-cluster test-browser lint docs lab bench bench-cluster fix clean \
	test-setup test-cluster-programs

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup:  ## install everything that is missing, in a cache outside the checkout
	@./bootstrap

run: setup  ## run the whole sequence on this machine: make run ARGS="--from 03"
	@$(BIN)/workshop run $(ARGS)

test-setup:  # what tests need beside what a run needs
	@./bootstrap --with dev --with llama-stack

test: test-setup  ## all checks and tests, the cheap ones first
	@$(MAKE) --no-print-directory lint
	$(PYTEST) $(BESIDE) --junitxml=$(REPORTS)/unit.xml tests/unit tests/manifests
	$(PYTEST) $(BESIDE) --junitxml=$(REPORTS)/servers.xml $(TESTS)

coverage:  ## make test, and which lines it ran: a third of a second more for each process
	$(BIN)/coverage erase
	@$(MAKE) --no-print-directory test PYTEST="$(BIN)/coverage run -m pytest"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-fast:  ## the unit tests alone: seconds, no servers
	@./bootstrap --only kit --with dev
	$(BIN)/pytest tests/unit

test-cluster-programs:  # what the test cluster is made of is built here; after test-setup
	@cd tests && ../$(BIN)/python -m testcluster build

test-cluster: test-setup  ## tests on a real Kubernetes of their own: Linux, root, go; builds it the first time
	$(PYTEST) $(BESIDE) --junitxml=$(REPORTS)/cluster.xml tests/cluster -rs

test-browser: test-setup  ## JupyterLab and the report in a real browser; needs Chromium
	$(PYTEST) $(BESIDE) --junitxml=$(REPORTS)/browser.xml tests/browser -rs

lint:  # after test-setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/nbstripout --extra-keys metadata.language_info --verify notebooks/*.ipynb docs/*.ipynb
	$(BIN)/yamllint --strict .
	@$(MAKE) --no-print-directory docs DOCS_RUN=

# An executed notebook has its picture attached, which Sphinx does not show:
# findings/sphinx_drops_notebook_attachments.sh.
docs:  ## README, docs and the notebooks as a site, in site/html, with the outputs of the last run
	@./bootstrap --only kit --with dev
	@rm -rf site && mkdir -p site/source
	@tar -cf - --exclude='./.[a-z]*' --exclude=./site --exclude=./test-reports --exclude=__pycache__ . | tar -xf - -C site/source
	@for run in $(DOCS_RUN)/[0-9]*.ipynb; do [ ! -e "$$run" ] || \
		sed 's|attachment:\([0-9]*\.svg\)|../docs/pictures/\1|' "$$run" >"site/source/notebooks/$${run##*/}"; done
	$(BIN)/sphinx-build -q -W --keep-going -c docs -d site/doctrees site/source site/html
	@echo "The site: site/html/index.html"

# The root is the checkout, because notebooks link to README and docs. Jupyter refuses root unasked.
lab: setup  ## open the notebooks in JupyterLab, on this machine alone
	@root=; [ "$$(id -u)" != 0 ] || root=--allow-root; \
	PATH="$$PWD/$(BIN):$$PATH" $(BIN)/jupyter lab --ip 127.0.0.1 --ServerApp.root_dir="$(LAB_ROOT)" \
		--LabApp.default_url=/lab/tree/notebooks/00_check_environment.ipynb $$root $(ARGS)

bench: setup  ## measure, print and keep the figures
	@for script in tests/bench/bench_*.py; do $(BIN)/python "$$script" || exit 1; done

bench-cluster:  ## the figures of the cluster target, on KUBECONFIG's cluster or on one of its own
	@./bootstrap --only kit --with dev
	@for script in tests/bench/cluster/bench_*.py; do $(BIN)/python "$$script" || exit 1; done

fix:  ## format the code, strip the notebooks' outputs, write docs/library.md, pictures and the dashboard
	@./bootstrap --only kit --with dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/nbstripout --extra-keys metadata.language_info notebooks/*.ipynb docs/*.ipynb
	$(BIN)/python tests/unit/test_library_page.py
	$(BIN)/python tests/pictures.py
	$(BIN)/python tests/manifests/test_dashboard.py

clean:  ## remove what make made in the checkout; the cache and running servers stay
	rm -rf .venv $(REPORTS) site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage .coverage.*
