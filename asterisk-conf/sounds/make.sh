#!/usr/bin/env bash
# Generates a sound for Asterisk with espeak-ng, as u-law, 8 kHz.
#
#   make.sh                    toritsugi/*.ulaw, which are part of this repository
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
# ただいま、受付時間外です。時間内に、おかけ直しください。
readonly CLOSED="ただいま、 うけつけ じかんがい です。 じかんないに、 おかけなおし ください。"
# ただいま、大変混み合っております。後ほど、おかけ直しください。
readonly BUSY="ただいま、 たいへん こみあって おります。 のちほど、 おかけなおし ください。"
readonly WORDS_PER_MINUTE=125 PITCH=45

for tool in espeak-ng sox; do
  command -v "$tool" > /dev/null || { echo "$tool is missing: apt-get install espeak-ng sox" >&2; exit 1; }
done
# Limits the sound to the telephone band, raises its level to -3 dB, and adds 0.3 s of silence at both ends.
speak() { # FILE TEXT
  espeak-ng -v ja -s "$WORDS_PER_MINUTE" -p "$PITCH" --stdout -- "$2" |
    sox -t wav - -t raw -e u-law -b 8 -r 8000 -c 1 "$1" sinc 200-3400 norm -3 pad 0.3 0.3
  echo "$1: $(($(stat -c %s "$1") / 8)) ms"
}
if (($# > 0)); then
  speak "$1" "$2"
else
  speak "$HERE/toritsugi/accept.ulaw" "$ACCEPT"
  speak "$HERE/toritsugi/closed.ulaw" "$CLOSED"
  speak "$HERE/toritsugi/busy.ulaw" "$BUSY"
fi
