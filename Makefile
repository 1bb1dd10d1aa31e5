# What can be done here. `make` alone lists it.
#
# Everything listens on loopback only, and nothing outlives its command. Where something is missing, a target
# installs it (as root on Debian) or says what to install. Nothing needs a Docker engine.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

.PHONY: help page demo test soak lint audit bench images

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

page: ## the operators' page, to be built into the binary (needs Node.js)
	@desktop/build.sh

demo: ## real calls on a real Asterisk, and the pops they make; ONCE=1 ends with the first
	@PORT=$(PORT) tests/demo.sh $(if $(ONCE),--once)

test: ## everything, on a real Asterisk too
	@tests/all.sh

soak: ## the fault battery, TORITSUGI_SOAK (10) times as much of it
	@TORITSUGI_SOAK=$${TORITSUGI_SOAK:-10} tests/all.sh --test real -- faults:: --nocapture

lint: ## format, clippy, shell, licences, no path of a machine in the tree
	@tests/lint.sh

audit: ## known weaknesses of the libraries (needs cargo-deny and the network)
	@command -v cargo-deny > /dev/null || { echo "cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 1; }
	@cargo deny --config .deny.toml check

bench: ## the figures, each beside what it is measured against
	@cargo bench --locked

images: ## the container images, built and tried out
	@docker/images.sh

-include tests/lab/lab.mk fuzz/fuzz.mk
