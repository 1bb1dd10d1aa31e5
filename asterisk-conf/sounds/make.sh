#!/usr/bin/env bash
# Generates a sound for Asterisk with espeak-ng, as u-law, 8 kHz.
#
#   make.sh                    toritsugi/accept.ulaw, which is part of this repository
#   make.sh FILE.ulaw TEXT     another sound, for instance for one account:
#                              make.sh for-sakura.ulaw "さくらしょうじへの おでんわです。おつなぎするには、いちを おしてください。"
#
# Write the text in kana: espeak-ng reads few kanji. A recording of a person sounds better; use any format that
# Asterisk plays.
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly HERE
# お電話をおつなぎします。よろしければ、1を押してください。
readonly ACCEPT="おでんわを おつなぎします。 よろしければ、 いちを おしてください。"
readonly WORDS_PER_MINUTE=125 PITCH=45

for tool in espeak-ng sox; do
  command -v "$tool" > /dev/null || { echo "$tool is missing: apt-get install espeak-ng sox" >&2; exit 1; }
done
file="${1:-$HERE/toritsugi/accept.ulaw}"
text="${2:-$ACCEPT}"
# Limits the sound to the telephone band, raises its level to -3 dB, and adds 0.3 s of silence at both ends.
espeak-ng -v ja -s "$WORDS_PER_MINUTE" -p "$PITCH" --stdout -- "$text" |
  sox -t wav - -t raw -e u-law -b 8 -r 8000 -c 1 "$file" sinc 200-3400 norm -3 pad 0.3 0.3
echo "$file: $(($(stat -c %s "$file") / 8)) ms"
