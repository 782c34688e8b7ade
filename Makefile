# `make demo` and `make test` set everything up by themselves and are safe to repeat.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := .build

RUST_SOURCES := $(shell find rust_core proto -name '*.rs' -o -name '*.toml' -o -name '*.proto') Cargo.toml Cargo.lock
PROTOS := $(sort $(shell find proto -name '*.proto'))

.PHONY: help demo drill test test-rust test-python lint format proto schema docs lock check-lock bench release clean tools test-tools

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: $(STAMPS)/extension ## Build, start Klero, run two experiments from start to verdict.
	@$(BIN)/klero demo

test: test-rust test-python ## Run every test of both languages.

test-rust: tools
	cargo test --workspace --locked

test-python: $(STAMPS)/extension test-tools
	$(BIN)/python -m pytest

drill: $(STAMPS)/extension ## Kill a server under load 50 times and count what is left.
	$(BIN)/python -m tests.drill --rounds 50

lint: $(STAMPS)/extension ## Formatting, lints, types, contract.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	MYPYPATH=service $(BIN)/python -m mypy.stubtest klero._core
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --workspace --all-targets --locked --features python -- -D warnings
	$(BIN)/buf lint

format: $(STAMPS)/python ## Format both languages.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .
	cargo fmt --all

proto: $(STAMPS)/python ## Generate the Python stubs from proto/.
	$(BIN)/python -m grpc_tools.protoc --proto_path=proto \
		--plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
		--plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
		--python_out=service --mypy_out=quiet:service $(PROTOS)
	$(BIN)/python -m grpc_tools.protoc --proto_path=proto \
		--plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
		--grpc_python_out=service --mypy_grpc_out=quiet:service $(filter %_service.proto,$(PROTOS))

schema: $(STAMPS)/python ## Generate the JSON Schema of definition files from proto/.
	PYTHONPATH=service $(BIN)/python -m tests.make_schema

docs: $(STAMPS)/extension ## Make docs/commands.md and docs/api.md from the program and the contract.
	$(BIN)/python -m docs.generate

lock: $(STAMPS)/python ## Pin the Python dependencies of pyproject.toml with hashes.
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url --no-header --quiet --output-file constraints.txt

check-lock: $(STAMPS)/python ## Fail unless both lock files fit what is declared.
	cargo metadata --locked --format-version 1 > /dev/null
	cp constraints.txt $(STAMPS)/constraints.txt
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url --no-header --quiet --output-file $(STAMPS)/constraints.txt
	diff constraints.txt $(STAMPS)/constraints.txt

release: $(STAMPS)/python ## Build the extension as users get it: optimised, which takes minutes.
	PIP_QUIET=1 $(BIN)/maturin develop --release --locked
	@rm -f $(STAMPS)/extension

bench: release ## Measure; results and how to read them are in benches/README.md.
	cargo bench --workspace --locked
	$(BIN)/python benches/record_load.py
	$(BIN)/python benches/import_rate.py
	$(BIN)/python benches/checkpoint_delay.py
	$(BIN)/python benches/restart.py
	$(BIN)/python benches/client_record.py

clean: ## Remove what was built.
	rm -rf $(VENV) $(STAMPS) target
	find service -name '*.so' -delete

# What is missing is named together with how to get it.
tools:
	@missing=; \
	need() { command -v "$$1" >/dev/null 2>&1 || { echo "missing: $$2"; missing=1; }; }; \
	need $(PYTHON) "Python 3.11 or newer - Debian: apt-get install python3 python3-venv; macOS: brew install python"; \
	need cargo "Rust 1.88 or newer - see https://rustup.rs"; \
	need cc "a C compiler - Debian: apt-get install gcc; macOS: xcode-select --install"; \
	if [ -n "$$missing" ]; then exit 1; fi; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version)"; exit 1; }; \
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "missing: the venv module - Debian: apt-get install python3-venv"; exit 1; }

# What only tests need is installed where that is allowed; otherwise it is named, and those tests are skipped.
test-tools: tools
	@packages=; \
	need() { command -v "$$1" >/dev/null 2>&1 || packages="$$packages $$2"; }; \
	need strace strace; need mount mount; need mkfs.ext4 e2fsprogs; need chromium chromium; \
	if [ -z "$$packages" ]; then exit 0; fi; \
	if [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then \
		echo "Installing what the tests need:$$packages"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$packages >/dev/null; \
	else \
		echo "not there, so some tests of the disk and of reports are skipped:$$packages - Debian: apt-get install$$packages"; \
	fi

$(STAMPS)/python: constraints.txt | tools
	@mkdir -p $(STAMPS)
	@echo "Installing the pinned Python packages into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@touch $@

$(STAMPS)/extension: $(STAMPS)/python pyproject.toml $(RUST_SOURCES)
	@echo "Building the Rust core (a minute or two the first time)"
	@PIP_QUIET=1 $(BIN)/maturin develop --locked
	@touch $@
