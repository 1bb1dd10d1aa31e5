# A real PBX and its far end, for manual tests and for the transcripts of the replay tests.
LAB_RUN_DIR ?= $(or $(TMPDIR),/tmp)/toritsugi-lab-by-hand

.PHONY: lab lab-stop transcripts

lab: ## runs a PBX and its far end for manual tests, until Ctrl-C
	@tests/pbx_lab/by-hand.sh $(LAB_RUN_DIR)

lab-stop: ## ends the lab of `make lab`
	@tests/pbx_lab/down.sh $(LAB_RUN_DIR)

transcripts: ## records the sessions of the replay tests again, on Asterisk 22 and 16
	cargo run --locked --example record-transcripts -- 22
	cargo run --locked --example record-transcripts -- 16
