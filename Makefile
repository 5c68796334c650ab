# The front door: `make` says what can be made. What a target needs is installed by tools/setup first.
.DEFAULT_GOAL := help
.PHONY: help run build test test-fresh sim fuzz soak bench bench-glue lint lint-all format demo data clean setup-test

# Arguments for the program: make run ARGS="--data /srv/heptane"
ARGS ?=

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## install what is missing, build, and start Heptane on loopback (ARGS="...")
	@tools/setup run
	@$(MAKE) --no-print-directory build
	exec build/heptane serve $(ARGS)

build: ## build/heptane, the release binary
	@cmake --preset release >build/.configure.log 2>&1 || { cat build/.configure.log; exit 1; }
	@cmake --build --preset release --target heptane

test: setup-test ## every test: lint, unit, sanitisers, simulator, real clients, power cuts
	@tools/ci/run_stages

test-fresh: ## make run and the quickstart in a new Debian 12 system (as root)
	@tools/setup fresh
	@tools/test_fresh

sim: setup-test build ## the simulator: the whole server from one seed (ARGS="--seed N")
	@build/heptane sim $(ARGS)

fuzz: setup-test ## every fuzzer for a minute (FUZZ_SECONDS=60)
	@tools/ci/fuzz

soak: setup-test build ## hours of load, faults and checks
	@cmake --build --preset release
	@tools/soak $(ARGS)

bench: ## measure beside the peers (ARGS=NAME)
	@tools/setup bench
	@cmake --preset release >build/.configure.log 2>&1 || { cat build/.configure.log; exit 1; }
	@cmake --build --preset release
	@bench/run $(ARGS)

bench-glue: ## one journey, from parts glued together and with Heptane
	@tools/setup bench
	@$(MAKE) --no-print-directory build
	@cmake --build --preset release --target powercut powercut_cli
	@bench/glue/run

lint: ## format, layering, determinism, habits, unused files; clang-tidy on what changed
	@tools/setup lint
	@tools/lint/run

lint-all: ## lint with clang-tidy on every file
	@tools/setup lint
	@tools/lint/run --all

format: ## clang-format in place
	@tools/setup lint
	@tools/lint/format --fix

demo: setup-test build data ## the quickstart by itself: produce, kill -9, restart, count
	@tools/demo $(ARGS)

data: setup-test ## flights.jsonl, the records of the quickstart
	@tools/make_data

clean: ## remove build/ and flights.jsonl
	rm -rf build flights.jsonl

setup-test:
	@tools/setup test

build sim soak bench bench-glue demo: | build/
build/:
	@mkdir -p build
