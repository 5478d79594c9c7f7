# make book    the whole book, into _build/html/index.html (set-up included)
# make test    every test (set-up included)
# make paper   the book at the papers' own scale (a GPU)
# make keep    copy finished runs of that scale to results/paper
PYTHON  ?= python3
PROFILE ?= quick
JOBS    ?= all
VENV    := .venv
STAMP   := $(VENV)/.installed
SNAKE    = $(VENV)/bin/snakemake --cores $(JOBS) --nolock --rerun-incomplete --keep-going --quiet rules
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: book test paper keep preview serve lint bench clean lock
.DELETE_ON_ERROR:

book: $(STAMP)
	@$(SNAKE) --config profile=$(PROFILE)
	@echo "The book: _build/html/index.html"

preview: $(STAMP)
	@$(SNAKE) --config profile=smoke -- preview

paper: $(STAMP)
	@$(SNAKE) --config profile=paper

keep: $(STAMP)
	@python workflow/keep.py

test: $(STAMP)
	@$(SNAKE) --config profile=smoke -- preview nbval
	pytest -n 2 --dist worksteal --cov --cov-report=term --cov-fail-under=90 tests
	pytest -n 2 --dist loadfile --nbval-lax _build/smoke/nbval

serve: book
	@echo "http://localhost:8000"; cd _build/html && python -m http.server 8000

lint: $(STAMP)
	@ruff check . && ruff format --check .

bench: $(STAMP)
	@mmfusion bench

clean:
	rm -rf _build .snakemake

# The environment is made from the lock, and anew when the lock or the package's metadata changes.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "mmfusion needs Python 3.11 to 3.13, found %d.%d; name another: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Resolve anew, from pyproject.toml, in a throw-away environment.
lock:
	$(PYTHON) workflow/lock.py
