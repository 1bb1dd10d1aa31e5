#!/usr/bin/env bash
# make pictures: takes the pictures of the documents again. Each is what a browser test saw on the real PBX.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests/all.sh --test browser -- day:: wall:: administration:: records::
while read -r picture source; do
  cp "target/pictures/$source.png" "docs/images/$picture.png"
done << 'END'
desk ringing-ja-light-1280
talking talking-ja-light-1280
message message-ja-light-1280
wrap-up wrap-up-ja-light-1280
board board-waiting-ja-light-1280
history past-story-ja-light-1280
wall wall-light
admin-accounts admin-accounts-ja-light-1280
admin-start admin-start-ja-light-1280
admin-contacts admin-contacts-ja-light-1280
admin-words admin-words-ja-light-1280
admin-import admin-import-ja-light-1280
END
