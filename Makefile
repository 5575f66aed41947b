# The same targets for people and for CI. `make quickstart` and `make test` install what they need, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKERS ?= 2  # test processes; each uses about 1 GB
export TFDS_DATA_DIR ?= $(CURDIR)/.cache/data
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup quickstart test test-slow lint type docs bench clean

setup: $(INSTALLED)

$(INSTALLED): setup.py pyproject.toml constraints.txt $(wildcard bin/*)
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	    { echo "$(PYTHON) is older than 3.11; name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

quickstart: $(INSTALLED)
	dlib_train --gin_config=quickstart.gin --model_dir=output/quickstart/model
	dlib_postprocess --model_dir=output/quickstart/model --output_dir=output/quickstart/codes --representations=mean
	dlib_evaluate --input_dir=output/quickstart/codes/mean --output_dir=output/quickstart/scores --gin_config=suites/quickstart.gin
	@echo "These are quickstart scores, not study scores: the study trains 300,000 steps and fits DCI on 10,000 examples."
	@echo "Pictures: output/quickstart/model/pictures/reconstructions.png output/quickstart/model/pictures/traversals.png"

test: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(INSTALLED)
	$(BIN)/mypy

docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open site/index.html"

bench: $(INSTALLED)
	@for script in training encoding input_pipeline open_table evaluate_help; do $(BIN)/python benchmarks/$$script.py || exit 1; done

clean:
	rm -rf $(VENV) .cache build dist site *.egg-info
