# The two commands of a new user: `make demo` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps

# Without bytecode on disk every process of the tests compiles (and pytest rewrites) all it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check cases durations lint bench stress airflow setup clean

# uv, from the lock itself, takes 20 seconds where pip takes two minutes; where uv cannot come to the
# packages (it knows nothing of pip's configuration) pip does it.
setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ess-dask needs Python 3.11 or newer; set PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	{ $(INSTALL) --require-hashes -r $(VENV)/uv.lock && \
		$(BIN)/uv pip install --system-certs --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements.lock; } || \
		$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)
	$(BIN)/ess demo

# Worksteal keeps the tests of a module together, so that what they share is started once.
test: $(STAMP) lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

# For every commit: linters and the quick tests, under 90 seconds.
check: $(STAMP) lint
	$(BIN)/python -m pytest -n 2 -m "not slow"

# What takes too long for every change: 25 times the random schedules of faults, loads cut at every
# statement and runs killed at every effect in every mode, recorded outputs on one worker too and on
# four with none of them killed, memory bounds of staging. `make test` has a sample of each.
stress: $(STAMP)
	ESS_STRESS=2000 $(BIN)/python -m pytest -n 2 tests/chaos/test_redshift_schedules.py \
		tests/property/test_query_sql.py tests/chaos/test_redshift_cut.py \
		tests/chaos/test_recorded_outputs.py tests/chaos/test_run_crashes.py \
		tests/integration/test_redshift_staging_s3.py tests/docs/test_dockerfile.py \
		tests/integration/test_ec2_killed.py

# Where the time of the tests goes, of all of them or of TESTS=tests/...
durations: $(STAMP)
	$(BIN)/python -m pytest -n 2 --durations=100 --durations-min=1 $(TESTS)

# The shared cases of the Essentia commands, each as its users would type it.
CASES ?= ../shared/essentia/run_cases.py
cases: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python $(CASES) --jobs 2

# The provider on real Airflows, the oldest and the newest supported, each in an environment of its own.
# MAJORS=3 for one of them. What is run is the ess of .venv.
MAJORS ?= 2 3
AIRFLOWS := $(MAJORS:%=.venv-airflow-%)

airflow: $(STAMP) $(AIRFLOWS:%=%/.ready)
	for each in $(AIRFLOWS); do \
		ESS=$(CURDIR)/$(BIN)/ess $$each/bin/python -m pytest tests/airflow || exit 1; \
	done

.venv-airflow-%/.ready: tests/airflow/requirements-%.lock | $(STAMP)
	$(PYTHON) -m venv --clear $(@D)
	$(BIN)/uv pip install --system-certs --quiet --python $(@D)/bin/python --no-deps --require-hashes -r $< || \
		$(@D)/bin/python -m pip install --quiet --no-deps --require-hashes -r $<
	$(@D)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) .venv-airflow-* .pytest_cache .mypy_cache .ruff_cache
