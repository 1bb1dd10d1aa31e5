# A real PBX and its far end, for hand work: `make lab`, then tests/lab/call.sh from
# another terminal; Ctrl-C ends everything.
LAB_RUN_DIR ?= $(or $(TMPDIR),/tmp)/toritsugi-lab-by-hand

.PHONY: lab lab-stop transcripts

lab:
	@tests/lab/by-hand.sh $(LAB_RUN_DIR)

lab-stop:
	@tests/lab/down.sh $(LAB_RUN_DIR)

# Records the replay tests' transcripts again, from Asterisk 22 and 16.
transcripts:
	cargo run --example record-transcripts -- 22
	cargo run --example record-transcripts -- 16
