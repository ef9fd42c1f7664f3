# The commands of a developer and of CI. Everything that is fetched or built goes to .tools/ and target/, but a few programs of the
# system's packages, which `make tools` installs where it may (root, apt-get), and else asks for. Only `make test`, `make mesh`
# and `make faults` need root, for network namespaces.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Needs rustc 1.88; a new version is installed as soon as it stands here.
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := .tools/cargo-deny/$(CARGO_DENY_VERSION)/bin/cargo-deny

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## Build the binary (debug profile), target/debug/parallax
	cargo build --locked

.PHONY: test
test: tools ## Run all tests, after what they need has been fetched and built
	cargo test --locked

# Their names are said once, where they record.
FAULT_TESTS = $$(sed -n '/pub fn test/,/^    }/s/.*"\([a-z_0-9]*\)".*/\1/p' tests/harness/faults.rs)

.PHONY: faults
faults: tools ## Write the matrix of docs/faults.md anew, from a run of its tests (4 min, root)
	rm -rf "$${CARGO_TARGET_DIR:-target}/faults"
	cargo test --locked --test it --test mesh -- $(FAULT_TESTS)
	PARALLAX_WRITE_FAULTS=1 cargo test --locked --test it -- faults::

.PHONY: check
check: $(CARGO_DENY) ## Check format, lints, documentation, licences and sources of dependencies
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps
	$(CARGO_DENY) check --hide-inclusion-graph bans licenses sources

.PHONY: demo
demo: envoy ## Show one service from two networks in real Envoys; KEEP=1 leaves it running
	@echo '==> Building the demo (first time some minutes)'
	cargo build --locked --bin parallax --example demo
	cargo run --quiet --locked --example demo -- $(if $(KEEP),--keep)

.PHONY: mesh
mesh: envoy ## Show requests across two networks while things fail (root); KEEP=1 leaves it running
	@scripts/install-packages.sh
	@scripts/build-kubernetes.sh
	@echo '==> Building the mesh (first time some minutes)'
	cargo build --locked --bin parallax --example mesh
	cargo run --quiet --locked --example mesh -- $(if $(KEEP),--keep)

.PHONY: tools
tools: ## Fetch Envoys, build the Kubernetes servers and a gRPC client for the tests into .tools/
	@scripts/install-packages.sh
	@scripts/fetch-envoy.sh
	@scripts/build-grpc.sh
	@scripts/build-kubernetes.sh

.PHONY: envoy
envoy: ## Fetch the newest Envoy only, for the demo
	@scripts/fetch-envoy.sh --newest

.PHONY: advisories
advisories: $(CARGO_DENY) ## Check dependencies for known vulnerabilities (needs github.com)
	$(CARGO_DENY) check --hide-inclusion-graph advisories

.PHONY: clean-tools
clean-tools: ## Remove what was fetched and built into .tools/
	rm -rf .tools

# Unoptimised: it runs for a second, and installs in one minute instead of five.
$(CARGO_DENY):
	@scripts/progress.sh 'cargo-deny $(CARGO_DENY_VERSION): installing (about 1 min)' \
		cargo install --locked --debug --root .tools/cargo-deny/$(CARGO_DENY_VERSION) --version $(CARGO_DENY_VERSION) cargo-deny
