# The targets of this repository; `make` without a target lists them.
#
# All servers listen on loopback only, and no process outlives its command. If a tool is missing, a target installs it
# (as root on Debian) or prints what to install. No target needs a Docker engine.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

.PHONY: help page demo call test soak mail-kills mail-figures fax-figures callflow-figures callflow-soak import-figures lint audit api-check csv-check bench scale-data bench-scale pictures page-figures images deb package-test release

help: ## prints this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

page: ## builds the operators' page, which the binary includes (needs Node.js)
	@desktop/build.sh

demo: ## calls on a real Asterisk, their pops and the page, until Ctrl-C; with ONCE=1 only the first pop, with KEEP=1 the records stay
	@PORT=$(PORT) KEEP=$(KEEP) tests/demo.sh $(if $(ONCE),--once)

call: ## one call, now, in the demo that runs
	@PORT=$(PORT) tests/demo.sh --call

test: ## runs all tests, including those on a real Asterisk
	@tests/all.sh

soak: ## the fault-injection suite, TORITSUGI_SOAK (10) times as long, and every kind of fax
	@TORITSUGI_SOAK=$${TORITSUGI_SOAK:-10} tests/all.sh --test e2e -- faults:: fax:: --nocapture

mail-kills: ## kills the daemon TORITSUGI_MAIL_KILLS (200) times while it mails messages
	@TORITSUGI_MAIL_KILLS=$${TORITSUGI_MAIL_KILLS:-200} tests/all.sh --profile figures --test mail -- kills:: --nocapture

mail-figures: ## prints how fast messages are mailed, with TORITSUGI_MAIL_QUEUED (10000) mails in the outbox and TORITSUGI_MAIL_CALLS (50) calls a second; the mail servers at nice MAIL_LAB_NICE (19)
	@MAIL_LAB_NICE=$${MAIL_LAB_NICE:-19} TORITSUGI_MAIL_QUEUED=$${TORITSUGI_MAIL_QUEUED:-10000} tests/all.sh --profile figures --test mail -- figures:: --nocapture

fax-figures: ## sends faxes of one and two pages, and prints how long after the hang-up each is mailed
	@TORITSUGI_FAX_TIMES=$${TORITSUGI_FAX_TIMES:-5} tests/all.sh --profile figures --test e2e -- fax::the_page_that_is_sent --nocapture

callflow-figures: ## prints what a callflow adds to a call, and how fast changes, TORITSUGI_FLOW_ACCOUNTS (5000) accounts and crowds are treated
	@TORITSUGI_FLOW_ACCOUNTS=$${TORITSUGI_FLOW_ACCOUNTS:-5000} TORITSUGI_FLOW_CALLS=$${TORITSUGI_FLOW_CALLS:-100} \
	  TORITSUGI_FLOW_CHANGES=$${TORITSUGI_FLOW_CHANGES:-50} TORITSUGI_FLOW_CROWD=$${TORITSUGI_FLOW_CROWD:-600} \
	  tests/all.sh --profile figures --test e2e -- callflow_figures:: --nocapture

callflow-soak: ## faults while 30,000 keys of plans are written (TORITSUGI_PLAN_ACCOUNTS, 7500), and 220 calls without a daemon
	@TORITSUGI_PLAN_ACCOUNTS=$${TORITSUGI_PLAN_ACCOUNTS:-7500} TORITSUGI_SOAK=$${TORITSUGI_SOAK:-4} \
	  tests/all.sh --test e2e -- plan_faults:: --nocapture
	@TORITSUGI_SOAK=$${TORITSUGI_SOAK:-10} tests/all.sh --test e2e -- offline::calls_of_a_time --nocapture

import-figures: ## prints how long an import of TORITSUGI_IMPORT_ROWS (100000) customers takes, and what else is written meanwhile
	@TORITSUGI_IMPORT_ROWS=$${TORITSUGI_IMPORT_ROWS:-100000} tests/all.sh --profile figures --test gateway -- figures_of_an_import --nocapture

lint: ## checks format, clippy, shell, documentation, licences, and paths of machines
	@tests/lint.sh

audit: ## checks the libraries for known vulnerabilities (needs cargo-deny and the network)
	@command -v cargo-deny > /dev/null || { echo "cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 1; }
	@cargo deny --config .deny.toml check

api-check: ## compares the daemon's answers with its OpenAPI document (needs schemathesis)
	@tests/api_check.sh

csv-check: ## opens each CSV file of the API in LibreOffice, in both encodings, and compares the cells (needs LibreOffice)
	@tests/csv_check.sh

bench: ## runs the benchmarks, each with its reference
	@cargo bench --locked

scale-data: ## fills DB (a new file, or postgres://…) with a year of calls; SIZE="--calls 100000 --customers 20000" makes it smaller
	@test -n "$(DB)" || { echo 'name the new database: make scale-data DB=/var/tmp/year.db' >&2; exit 1; }
	@cargo run --locked --profile figures --quiet --example scale-data -- "$(DB)" $(SIZE)

bench-scale: ## asks DB, which scale-data filled, each question of the API
	@test -n "$(DB)" || { echo 'name the database: make bench-scale DB=/var/tmp/year.db' >&2; exit 1; }
	@SCALE_DB="$(DB)" cargo bench --locked --profile figures --bench scale

pictures: ## renews the pictures of the documents from the browser tests
	@tests/pictures.sh

page-figures: ## measures the page in Chromium, TIMES (3) times, with the load of the machine
	@tests/page_figures.sh

images: ## builds the container images and runs the services of docker/compose.yaml from them; BINARY=FILE takes a program that is built
	@BINARY=$(BINARY) docker/images.sh

deb: ## builds the Debian package into target/package
	@packaging/deb.sh

package-test: ## installs, upgrades, removes and purges the Debian package in a root of its own, beside an Asterisk (as root)
	@tests/package.sh

release: ## builds the package, an archive, the images (IMAGES=0: without), their SBOM and checksums
	@packaging/release.sh

-include tests/pbx_lab/lab.mk fuzz/fuzz.mk
