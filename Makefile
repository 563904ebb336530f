# Everything a developer does; `make help` lists it. The environment is made on first use.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
INSTALLED = $(VENV)/.installed
TIMES ?= 20
DEVICE ?= cpu
MARK ?= not slow

.DEFAULT_GOAL := help
.PHONY: notice tested audit help install demo test fuzz check lint types format docs site sheet shipped features bench kills clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[loggers,dev]"
	@touch $@

install: $(INSTALLED)

demo: $(INSTALLED) ## translate by the weights that ship, then train StarGAN v2 on the built-in data, ten minutes
	$(RUN) -m translate apply output=runs/demo/translations
	$(RUN) -m translate experiments=demo

test: $(INSTALLED) ## run the test suite but for long enumerations; MARK= runs them too
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist loadfile -m "$(MARK)"

fuzz: $(INSTALLED) ## try the properties with TIMES as many examples, new ones every time
	FUZZ_TIMES=$(TIMES) OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto tests/properties

check: $(INSTALLED) lint types ## format, lint, types, and the quick tests
	$(RUN) -m pytest -m "not slow" tests/architecture tests/unit tests/config

lint: $(INSTALLED) ## find and name what the style forbids
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(INSTALLED) ## check the types
	$(RUN) -m mypy

format: $(INSTALLED) ## format the code and sort imports
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

docs: $(INSTALLED) ## write docs/config.md, experiments/README.md and the figures of networks anew
	$(RUN) docs/generate.py
	$(RUN) docs/draw_networks.py

site: $(INSTALLED) ## build the site of the documents into build/site, without network; a dead link is an error
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet

sheet: $(INSTALLED) ## draw the contact sheet of the built-in world
	$(RUN) benchmarks/critters_contact_sheet.py docs/images/critters.png

shipped: $(INSTALLED) ## train the weights that ship with the package anew, with their model card
	$(RUN) benchmarks/shipped_weights.py

features: $(INSTALLED) ## train the feature network that ships with the package anew, with its model card
	$(RUN) benchmarks/feature_network.py

bench: $(INSTALLED) ## time the models against their plain recipes, DEVICE=cpu (half an hour on a quiet machine) or cuda (ten minutes)
	$(RUN) benchmarks/tables.py $(DEVICE) docs/benchmarks

kills: $(INSTALLED) ## kill training runs a hundred times and compare each with an undisturbed one
	OMP_NUM_THREADS=1 $(RUN) benchmarks/kills.py

notice: $(INSTALLED) ## write NOTICE anew, the licences of all libraries
	$(RUN) release/notice.py

tested: $(INSTALLED) ## run the suite and write the tested versions into docs/versions.md
	OMP_NUM_THREADS=1 $(RUN) release/tested.py -n auto --dist loadfile

audit: ## look for known vulnerabilities in the pinned libraries; says so where it cannot run
	@$(PYTHON) -m venv build/audit && \
	if build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit; \
	then build/audit/bin/python release/audit.py; \
	else echo "THE AUDIT DID NOT RUN: pip-audit cannot be installed"; fi

clean: ## remove the environment and what tools cached
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
