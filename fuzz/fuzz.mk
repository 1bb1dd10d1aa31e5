# Coverage-guided fuzzing on the stable compiler: libFuzzer with the instrumentation it needs, no sanitizer (the
# project has no unsafe code to sanitize). Each target runs FUZZ_SECONDS; a finding is kept in fuzz/artifacts.

FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?= frame session model sip_identity returned_mail script fax
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares

.PHONY: fuzz fuzz-build

fuzz-build: ## (builds the fuzz targets)
	@cd fuzz && RUSTFLAGS="$(FUZZ_FLAGS)" cargo build --locked --release --target-dir target \
	  --target "$$(rustc -vV | sed -n 's/^host: //p')"

fuzz: fuzz-build ## the fuzz targets, FUZZ_SECONDS=600 each, two at a time
	@printf '%s\n' $(FUZZ_TARGETS) | xargs -P 2 -I TARGET fuzz/run.sh TARGET $(FUZZ_SECONDS)
