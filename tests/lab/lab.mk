# A real PBX and its far end, for hand work and for the transcripts of the replay tests.
LAB_RUN_DIR ?= $(or $(TMPDIR),/tmp)/toritsugi-lab-by-hand

.PHONY: lab lab-stop transcripts

lab: ## a PBX and its far end for hand work, until Ctrl-C
	@tests/lab/by-hand.sh $(LAB_RUN_DIR)

lab-stop: ## ends what `make lab` started
	@tests/lab/down.sh $(LAB_RUN_DIR)

transcripts: ## records the replay tests' sessions again, on Asterisk 22 and 16
	cargo run --locked --example record-transcripts -- 22
	cargo run --locked --example record-transcripts -- 16
