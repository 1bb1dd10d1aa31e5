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
# おそれいりますが、電話番号の前に186をつけて、おかけ直しください。
readonly WITHHELD="おそれいりますが、 でんわばんごうの まえに いちはちろくを つけて、 おかけなおし ください。"
# 発信音のあとに、ご用件をお話しください。終わりましたら、シャープを押してください。
readonly VOICE="はっしんおんの あとに、 ごようけんを おはなし ください。 おわりましたら、 シャープを おしてください。"
# 順番に折り返しお電話いたします。ご希望の方は、1を押してください。
readonly CALLBACK="じゅんばんに おりかえし おでんわ いたします。 ごきぼうの かたは、 いちを おしてください。"
# お掛けの番号へ折り返します。よろしければ1、別の番号は2を押してください。
readonly CALLBACK_OWN="おかけの ばんごうへ おりかえします。 よろしければ いち、 べつの ばんごうは にを おしてください。"
# 折り返し先の電話番号を押し、最後にシャープを押してください。
readonly CALLBACK_ENTER="おりかえしさきの でんわばんごうを おし、 さいごに シャープを おしてください。"
# この番号でよろしければ1、やり直すには2を押してください。
readonly CALLBACK_CHECK="この ばんごうで よろしければ いち、 やりなおすには にを おしてください。"
# 承りました。
readonly CALLBACK_DONE="うけたまわり ました。"
# 録音する会社の番号を押し、シャープを押してください。
readonly GUIDANCE_ENTRY="ろくおんする かいしゃの ばんごうを おし、 シャープを おしてください。"
# 暗証番号6桁を押してください。
readonly GUIDANCE_PIN="あんしょうばんごう ろっけたを おしてください。"
# 番号が違います。
readonly GUIDANCE_WRONG="ばんごうが ちがいます。"
# 発信音のあとに、ご案内をお話しください。終わりましたら、シャープを押してください。
readonly GUIDANCE_SPEAK="はっしんおんの あとに、 ごあんないを おはなし ください。 おわりましたら、 シャープを おしてください。"
# もう一度聞くには1、保存するには2、録り直すには3を押してください。
readonly GUIDANCE_CHOOSE="もういちど きくには いち、 ほぞんするには に、 とりなおすには さんを おしてください。"
# 保存しました。
readonly GUIDANCE_KEPT="ほぞん しました。"
# 保存できませんでした。
readonly GUIDANCE_LOST="ほぞん できませんでした。"
# ただいま、ご利用いただけません。
readonly GUIDANCE_OFF="ただいま、 ごりよう いただけません。"
# What operators hear before a call, in one breath: who calls (toritsugi/known, vip), and from which region
# (toritsugi/area/NN, the first two digits of the number).
readonly HINTS="
  known:こきゃく vip:じゅうよう area/mobile:けいたい
  area/01:きたにほん area/02:とうほく area/03:とうきょう area/04:かんとう area/05:とうかい
  area/06:おおさか area/07:きんき area/08:ちゅうごく area/09:きゅうしゅう
"
# What callers hear who wait with music: ただいま◯番目です (toritsugi/place/N), およそ◯分お待ちください (toritsugi/minutes/N).
readonly PLACES="1:いちばんめ 2:にばんめ 3:さんばんめ 4:よんばんめ 5:ごばんめ 6:ろくばんめ 7:ななばんめ 8:はちばんめ 9:きゅうばんめ many:じゅうばんめ＿いこう"
readonly MINUTES="1:いっぷん 2:にふん 3:さんぷん 4:よんぷん 5:ごふん 6:ろっぷん 7:ななふん 8:はっぷん 9:きゅうふん 10:じゅっぷん"
readonly WORDS_PER_MINUTE=125 PITCH=45

for tool in espeak-ng sox; do
  command -v "$tool" > /dev/null || { echo "$tool is missing: apt-get install espeak-ng sox" >&2; exit 1; }
done
# Limits the sound to the telephone band and raises its level to -3 dB; then the effects of sox.
speak() { # FILE TEXT EFFECT...
  espeak-ng -v ja -s "${RATE:-$WORDS_PER_MINUTE}" -p "$PITCH" --stdout -- "$2" |
    sox -t wav - -t raw -e u-law -b 8 -r 8000 -c 1 "$1" sinc 200-3400 norm -3 "${@:3}"
  echo "$1: $(($(stat -c %s "$1") / 8)) ms"
}
if (($# > 0)); then
  speak "$1" "$2" pad 0.3 0.3
else
  speak "$HERE/toritsugi/accept.ulaw" "$ACCEPT" pad 0.3 0.3
  speak "$HERE/toritsugi/closed.ulaw" "$CLOSED" pad 0.3 0.3
  speak "$HERE/toritsugi/busy.ulaw" "$BUSY" pad 0.3 0.3
  speak "$HERE/toritsugi/withheld.ulaw" "$WITHHELD" pad 0.3 0.3
  speak "$HERE/toritsugi/voice.ulaw" "$VOICE" pad 0.3 0.3
  speak "$HERE/toritsugi/callback.ulaw" "$CALLBACK" pad 0.3 0.3
  speak "$HERE/toritsugi/callback-own.ulaw" "$CALLBACK_OWN" pad 0.3 0.3
  speak "$HERE/toritsugi/callback-enter.ulaw" "$CALLBACK_ENTER" pad 0.3 0.3
  speak "$HERE/toritsugi/callback-check.ulaw" "$CALLBACK_CHECK" pad 0.3 0.3
  speak "$HERE/toritsugi/callback-done.ulaw" "$CALLBACK_DONE" pad 0.3 0.3
  speak "$HERE/toritsugi/guidance-entry.ulaw" "$GUIDANCE_ENTRY" pad 0.3 0.3
  speak "$HERE/toritsugi/guidance-pin.ulaw" "$GUIDANCE_PIN" pad 0.1 0.3
  speak "$HERE/toritsugi/guidance-wrong.ulaw" "$GUIDANCE_WRONG" pad 0.1 0.3
  speak "$HERE/toritsugi/guidance-speak.ulaw" "$GUIDANCE_SPEAK" pad 0.3 0.3
  speak "$HERE/toritsugi/guidance-choose.ulaw" "$GUIDANCE_CHOOSE" pad 0.3 0.3
  speak "$HERE/toritsugi/guidance-kept.ulaw" "$GUIDANCE_KEPT" pad 0.1 0.3
  speak "$HERE/toritsugi/guidance-lost.ulaw" "$GUIDANCE_LOST" pad 0.1 0.3
  speak "$HERE/toritsugi/guidance-off.ulaw" "$GUIDANCE_OFF" pad 0.3 0.3
  mkdir -p "$HERE/toritsugi/area" "$HERE/toritsugi/place" "$HERE/toritsugi/minutes"
  for place in $PLACES; do
    text="${place#*:}"
    speak "$HERE/toritsugi/place/${place%%:*}.ulaw" "ただいま、 ${text//＿/ } です。" pad 0.1 0.2
  done
  for minutes in $MINUTES; do
    speak "$HERE/toritsugi/minutes/${minutes%%:*}.ulaw" "およそ、 ${minutes#*:} おまちください。" pad 0.1 0.2
  done
  for hint in $HINTS; do
    RATE=190 speak "$HERE/toritsugi/${hint%%:*}.ulaw" "${hint#*:}" \
      silence 1 0.01 1% reverse silence 1 0.01 1% reverse pad 0.05 0.05
  done
fi
