# SPDX-License-Identifier: Apache-2.0
# Thin on purpose: Meson knows how to build, tools/ how to check. `make help` is made from the ## comments.

# Every tree has its own build folder; the sanitizers have theirs beside it.
BUILD := build
# One test, or a part: T=log, T=log/segment, T=tests/test_kafka.py, T=fuzz/kafka
T ?=
# Seconds for each fuzz target
FUZZ_S ?= 20

export LEAT_BUILD := $(BUILD)
.DEFAULT_GOAL := help
.PHONY: help build run test soak asan tsan fuzz bench lint format docs clean setup-run setup-test

help: ## this list
	@echo 'make TARGET   (Debian 12; what is missing is installed first)'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' Makefile
	@echo 'T=log/segment chooses tests: module/part of the name, tests/FILE.py, or fuzz/MODULE'

setup-run:
	@tools/setup run
setup-test:
	@tools/setup test

build: setup-run ## build/leat
	@tools/build $(BUILD)

run: build ## start Leat with the PackScan example and print the address of its live page
	@exec examples/packscan/run

test: setup-test ## everything, or T=...; ends with "N passed, N failed, N skipped"
	@tools/build $(BUILD)
	@tools/test $(T)

soak: setup-test ## the crash, fault and load tests at full length
	@tools/build $(BUILD)
	@LEAT_TEST_SCALE=10 LEAT_SOAK=1 tools/test $(T)

asan: setup-test ## tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@LEAT_BUILD=build-asan tools/build build-asan
	@LEAT_BUILD=build-asan tools/test $(T)

tsan: setup-test ## unit tests of the threaded modules under ThreadSanitizer
	@LEAT_BUILD=build-tsan tools/build build-tsan
	@LEAT_BUILD=build-tsan LEAT_UNIT_ONLY=1 tools/test $(T)

fuzz: setup-test ## every decoder with libFuzzer, FUZZ_S seconds each
	@tools/fuzz $(FUZZ_S) $(T)

bench: build ## measured figures beside peers, with this machine's facts; BENCH_RUNS=1 quick, T=count one part
	@tools/setup bench || echo 'The peers that could not be fetched are skipped.'
	@tools/bench $(T)

lint: setup-test ## format, warnings under clang, names, layers, sizes
	@tools/build $(BUILD)
	@tools/lint

format: setup-test ## bring all C sources into house format
	@git ls-files -co --exclude-standard 'src/*.c' 'src/*.h' 'src/*.cpp' 'bench/*.c' 'bench/*.h' | xargs clang-format-16 -i

docs: ## docs/parameters.md and docs/metrics.md from their tables
	@tools/gen-docs

clean: ## remove what was built; what was fetched stays in build/deps and build/venv
	@rm -rf build-asan build-tsan build-fuzz
	@[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name deps ! -name venv -exec rm -rf {} +
