# Each target sets itself up. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PENJING_DATA ?= ../shared/data
# One process a core; `make test TEST_WORKERS=0` runs the suite in one, for a debugger.
TEST_WORKERS ?= auto
export PENJING_DATA

# Without bytecode TensorFlow takes three times as long to start.
unexport PYTHONDONTWRITEBYTECODE

PROJECTS := core/pyproject.toml datasets/pyproject.toml $(wildcard plugins/*/pyproject.toml)
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
DEV := build hatchling hypothesis implicit import-linter jsonschema mypy pyarrow pydicom pytest pytest-timeout pytest-xdist \
  ranx ruff tables uv
# What the plugins under examples/ need.
DEV += mlflow-skinny onnx onnxruntime tf2onnx

DOCS := mkdocs-material

.PHONY: help demo test slow lint format bench docs clean

help:
	@echo "make demo    keyword spotting on the built-in sample, from nothing to a verified int8 file"
	@echo "make test    the test suite (real data from PENJING_DATA where it exists)"
	@echo "make slow    the tests that take minutes"
	@echo "make lint    ruff, mypy, import-linter"
	@echo "make bench   the quick benchmarks"
	@echo "make docs    the documentation as a site, in site/ (open site/index.html)"
	@echo "make clean   remove the environment, the demo's run and built files (other runs stay)"

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit("penjing needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/created constraints.txt $(PROJECTS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e "core[compress,microcontroller]" -e datasets $(foreach plugin,$(PLUGINS),-e "$(plugin)[compress]")
	$(BIN)/python -m compileall -q core/src datasets/src $(foreach plugin,$(PLUGINS),$(plugin)/src)
	@touch $@

$(VENV)/developing: $(VENV)/installed pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(DEV)
	@touch $@

$(VENV)/documenting: $(VENV)/developing mkdocs.yml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(DOCS)
	@touch $@

demo: $(VENV)/installed
	$(BIN)/penjing keyword-spotting run --output runs/demo --overwrite

test: $(VENV)/documenting
	@if [ -d "$(PENJING_DATA)" ]; then echo "real data: $(PENJING_DATA)"; else echo "real data: none at $(PENJING_DATA), its tests are skipped"; fi
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal

slow: $(VENV)/developing
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/developing
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/developing
	$(BIN)/python benchmarks/help_speed.py
	$(BIN)/python benchmarks/training_speed.py

# The theme's advertisement of another tool is no warning about these pages.
docs: $(VENV)/documenting
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	$(BIN)/python -m pytest -q tests/docs/test_generated_pages.py tests/docs/test_site.py
	@echo "the site: site/index.html"

clean:
	rm -rf $(VENV) runs/demo dist build site
