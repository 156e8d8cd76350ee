# The verbs of the work. `make help` lists them.
.DEFAULT_GOAL := help
CARGO ?= cargo
BIN := target/debug

.PHONY: help demo test build lint fmt doc bench benchquery benchimport benchtenants benchlog fuzz deny certs setup clean

help: ## list the verbs
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 12

demo: build ## two municipalities exchange real records and witness each other's logs, on SQLite
	$(BIN)/vrx demo

build: ## build the programs vrx and vrx-node (development profile)
	$(CARGO) build --locked --bin vrx --bin vrx-node

setup: ## install what tests need beyond Rust, a C compiler and make (PostgreSQL, strace, age)
	./tests/setup.sh

test: setup ## every test: unit, property, end-to-end over the real programs
	$(CARGO) build --locked --workspace --all-targets
	$(CARGO) test --locked --workspace --no-fail-fast

lint: deny ## format, clippy and documentation, all warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

deny: ## licences and sources of the dependencies
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install cargo-deny --version 0.20.2 --locked
	$(CARGO) fetch --locked
	$(CARGO) deny --offline --all-features check bans licenses sources

fmt: ## format the code
	$(CARGO) fmt --all

doc: ## the manual: opens on a page that explains the house
	$(CARGO) doc --locked --workspace --no-deps
	@echo "target/doc/vrx_node/index.html"

benchtenants: ## 1 to 1,700 tenants; what row-level security and partitions cost
	$(CARGO) bench --locked --package vrx-tests --bench tenants -- $(BENCH_ARGS)

benchlog: ## a log of a million entries: growth with and without a witness, verification, export, history
	$(CARGO) bench --locked --package vrx-tests --bench log -- $(BENCH_ARGS)

bench: benchquery benchtenants ## QueryRecords on SQLite and PostgreSQL against a bare echo, then with many tenants

benchquery: ## QueryRecords against a bare tonic echo, both over mutual TLS, in one run
	$(CARGO) build --locked --release --bin vrx --bin vrx-node --bin vrx-bench
	target/release/vrx-bench run $(BENCH_ARGS)

benchimport: ## imports into a node on SQLite and on PostgreSQL, against plain inserts of the same rows
	$(CARGO) build --locked --release --bin vrx --bin vrx-node --bin vrx-bench
	target/release/vrx-bench import $(BENCH_ARGS)

fuzz: ## every fuzz target for a minute (libFuzzer on stable Rust); FUZZ_SECONDS changes the time
	./tests/fuzz/run.sh

certs: ## development certificates for CODES (default 142051 141003) under ./demo-certs (never for production)
	$(CARGO) run --locked --bin vrx-certs-dev -- --dir demo-certs init $(or $(CODES),142051 141003)

clean: ## remove what was built
	$(CARGO) clean
