#!/usr/bin/env bash
# Runs one fuzz target: run.sh TARGET SECONDS. Starts from recorded sessions and the corpus of earlier runs; prints a
# summary, or the finding.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
readonly TARGET="$1" SECONDS_MAX="$2"
host="$(rustc -vV | sed -n 's/^host: //p')"
mkdir -p "corpus/$TARGET" artifacts
log="$(mktemp)"
trap 'rm -f -- "$log"' EXIT
status=0
"target/$host/release/$TARGET" "corpus/$TARGET" ../tests/transcripts/asterisk-22 ../tests/samples -max_total_time="$SECONDS_MAX" \
  -max_len=16384 -timeout=10 -rss_limit_mb=4096 -artifact_prefix="artifacts/$TARGET-" -print_final_stats=1 \
  > "$log" 2>&1 || status=$?
if ((status)); then
  tail -40 "$log"
else
  echo "$TARGET: $(grep -E 'number_of_executed_units' "$log" | awk '{print $2}') inputs in ${SECONDS_MAX} s, no finding; $(grep -oE 'cov: [0-9]+' "$log" | tail -1)"
fi
exit "$status"
