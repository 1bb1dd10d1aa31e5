#!/usr/bin/env bash
# Writes the configuration of one lab: the PBX with the unchanged asterisk-conf/ of the
# product, and the far end. Only their local.d/ contains ports, secrets and addresses.
#
#   instance.sh CONFIG_DIR_PBX CONFIG_DIR_FAR INSIDE_PBX INSIDE_FAR PORT_BASE VERSION
#
# CONFIG_DIR_* are the directories on this machine. INSIDE_* are the same directories as
# Asterisk sees them, which may run in a private root.
set -euo pipefail

readonly PBX="$1" FAR="$2" INSIDE_PBX="$3" INSIDE_FAR="$4" BASE="$5" VERSION="$6"
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly HERE
readonly SIP=$BASE AMI=$((BASE + 1))
# The phones of the product's configuration, and phones of the lab with numbers similar to 1001.
readonly PHONES="1001 1002 1003 2001 2002"
readonly LOOK_ALIKES="100 10010"
# A door phone, and an operator's phone whose endpoint is not its extension.
readonly NAMED="reception agent1005"
# A test plays this phone, byte by byte (raw_phone.rs).
readonly RAW_PHONE=1004
# Phones that obey the daemon, separated by spaces: they are played outside the far end (the demo's, demo_phone.rs).
readonly DESK_PHONES="${LAB_DESK_PHONES:-}"
readonly DESK_PHONE_SIP=$((SIP + 4))
# Twenty more operators and twenty more supervisors, for load tests.
CROWD="$(seq -s ' ' 1101 1120) $(seq -s ' ' 2101 2120)"
readonly CROWD

secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

make_directories() {
  mkdir -p "$PBX"/{etc/local.d,run,log,spool/{toritsugi-fax,toritsugi-voice},db,keys,moh,sounds} \
           "$FAR"/{etc/local.d,run,log/cdr-csv,spool/monitor,spool/fax,db,keys,moh}
}

# $1 = the directory as Asterisk sees it. Asterisk writes only below it.
directories() {
  cat <<CONF
[directories]
astetcdir => $1/etc
astrundir => $1/run
astlogdir => $1/log
astspooldir => $1/spool
astdbdir => $1/db
astkeydir => $1/keys
CONF
}

# Tones instead of music and speech, so that the tests know the exact content of a recording.
# One period of each in u-law, at 8,000 samples a second.
sounds() {
  local i period
  period='\xff\xaa\x9f\x9f\xaa\xff\x2a\x1f\x1f\x2a' # 800 Hz
  for ((i = 0; i < 8000; i++)); do printf '%b' "$period"; done > "$PBX/moh/music.ulaw"
  cp "$PBX/moh/music.ulaw" "$FAR/moh/music.ulaw"
  period='\xc2\xab\xa2\x9e\x9e\xa2\xab\xc2\x42\x2b\x22\x1e\x1e\x22\x2b\x42' # 500 Hz
  for ((i = 0; i < 1000; i++)); do printf '%b' "$period"; done > "$PBX/sounds/accept.ulaw"
  for ((i = 0; i < 10; i++)); do cat "$PBX/sounds/accept.ulaw"; done > "$PBX/sounds/announcement.ulaw"
  cp -r "$HERE/../../asterisk-conf/sounds/toritsugi" "$PBX/sounds/"
  # A telephone sends packets also while nobody speaks: 15 s of them.
  head -c 120000 /dev/zero | tr '\0' '\377' > "$FAR/silence.ulaw"
}

# The PBX finds sounds by their names in a directory of its own, where the product's are; the rest is that of the package.
data() {
  local entry package=/usr/share/asterisk
  [[ "$INSIDE_PBX" != "$PBX" || -d "$package/documentation" ]] || package=/var/lib/asterisk
  for entry in documentation rest-api static-http phoneprov agi-bin sounds/en; do
    ln -sfn "$package/$entry" "$PBX/$entry"
  done
  printf 'astdatadir => %s\n' "$INSIDE_PBX" >> "$PBX/etc/asterisk.conf"
}

pbx() {
  cp "$HERE"/../../asterisk-conf/*.conf "$PBX/etc/"
  directories "$INSIDE_PBX" >> "$PBX/etc/asterisk.conf"
  data
  # Every unique id begins with it, so each test shows that ids are opaque.
  printf '[options](+)\nsystemname = 本社 PBX\n' >> "$PBX/etc/asterisk.conf"
  cat > "$PBX/etc/local.d/manager.conf" <<CONF
[general](+)
bindaddr = 127.0.0.1
port = $AMI
[toritsugi-events](+)
secret = $EVENTS_SECRET
[toritsugi-actions](+)
secret = $ACTIONS_SECRET
; The user of the tests: reset, settings, inspection.
[lab]
secret = $LAB_SECRET
deny = 0.0.0.0/0.0.0.0
permit = 127.0.0.1/255.255.255.255
read = all
write = all
writetimeout = 5000
CONF
  # The permission to ask desk phones.
  if [[ -n "$DESK_PHONES" ]]; then
    printf '[toritsugi-actions](+)\nwrite = originate,call,agent,reporting,system\n' >> "$PBX/etc/local.d/manager.conf"
  fi
  if ((VERSION < 18)); then
    cat >> "$PBX/etc/local.d/manager.conf" <<CONF
[toritsugi-events](+)
eventfilter = !Event: VarSet
eventfilter = !Event: Newexten
eventfilter = !Event: RTCP
CONF
  fi
  cat > "$PBX/etc/local.d/rtp.conf" <<CONF
[general](+)
rtpstart = 30000
rtpend = 39999
CONF
  printf '[general](+)\nudptlstart = 40000\nudptlend = 44999\n' > "$PBX/etc/local.d/udptl.conf"
  # Numbers of faxes.
  cat > "$PBX/etc/local.d/fax-numbers.conf" <<CONF
exten => 0355501090,1,Goto(toritsugi-fax,\${EXTEN},1)
exten => 0355501091,1,Goto(toritsugi-fax,\${EXTEN},1)
CONF
  # A number at which guidance is recorded.
  printf 'exten => 0355501095,1,Goto(toritsugi-guidance,s,1)\n' > "$PBX/etc/local.d/guidance-numbers.conf"
  cat > "$PBX/etc/local.d/musiconhold.conf" <<CONF
[default](+)
directory = $INSIDE_PBX/moh
CONF
  cat > "$PBX/etc/local.d/globals.conf" <<CONF
QUEUE_WAIT_SECONDS = 60
SOUND_ACCEPT = $INSIDE_PBX/sounds/accept
SOUND_MONITOR = $INSIDE_PBX/sounds/accept
CONF
  cat > "$PBX/etc/local.d/queues.conf" <<CONF
[operators-linear](+)
timeout = 3
; One caller may wait here; the second hears busy.
[lab-one-waits](operators-common)
maxlen = 1
member => PJSIP/1003
; Members behind Local channels, as in many existing PBXs.
[lab-local-members](operators-common)
strategy = ringall
member => Local/1001@lab-member/n,0,佐藤,PJSIP/1001
member => Local/1002@lab-member/n,0,鈴木,PJSIP/1002
; The operator hears an announcement before the caller, as with FreePBX's "Agent Announcement".
[lab-announced](operators-common)
announce = $INSIDE_PBX/sounds/announcement
member => PJSIP/1001
; The queue gives up, not the caller.
[lab-gives-up](operators-common)
member => PJSIP/1001
CONF
  # Queues that ring phones in use: only a pause keeps a caller from an operator who talks. No number leads to the second.
  cat >> "$PBX/etc/local.d/queues.conf" <<CONF
[lab-rings-in-use](operators-common)
ringinuse = yes
timeout = 3
member => PJSIP/1001
[lab-crowd](operators-common)
ringinuse = yes
CONF
  # Parking and pick-up, as most PBXs have them.
  printf 'load = %s\n' res_parking.so app_directed_pickup.so app_followme.so > "$PBX/etc/local.d/modules.conf"
  printf '[general]\n[default]\nparkext = 700\nparkpos = 701-709\ncontext = parkedcalls\n' > "$PBX/etc/res_parking.conf"
  # Follow-me: the operator's phone, then the operator's mobile.
  cat > "$PBX/etc/followme.conf" <<CONF
[general]
[1001]
context = from-phones
enable_callee_prompt = no
number = 1001,2
number = 09011112222,20
CONF
  cat > "$PBX/etc/local.d/queue-of.conf" <<CONF
exten => 0355501020,1,Return(lab-announced)
exten => 0355501027,1,Return(lab-rings-in-use)
exten => 0355501007,1,Return(lab-local-members)
exten => 0355501009,1,Return(lab-one-waits)
CONF
  {
    cat <<CONF
[transport-udp](+)
bind = 127.0.0.1:$SIP
[trunk](+type=aor)
contact = sip:127.0.0.2:$SIP
[trunk](+type=endpoint)
media_address = 127.0.0.1
bind_rtp_to_media_address = yes
[trunk-identify]
type = identify
endpoint = trunk
match = 127.0.0.2
CONF
    local phone
    for phone in $LOOK_ALIKES $NAMED $CROWD; do
      printf '[%s](phone)\naors = %s\nauth = %s\n[%s](phone-aor)\n[%s](phone-auth)\nusername = %s\n' \
        "$phone" "$phone" "$phone" "$phone" "$phone" "$phone"
    done
    printf '[%s](phone)\naors = %s\n[%s](phone-aor)\ncontact = sip:%s@127.0.0.3:%s\nqualify_frequency = 0\n' \
      "$RAW_PHONE" "$RAW_PHONE" "$RAW_PHONE" "$RAW_PHONE" "$((SIP + 3))"
    local port
    for phone in $PHONES $LOOK_ALIKES $NAMED $CROWD; do
      port=$SIP
      [[ " $DESK_PHONES " != *" $phone "* ]] || port=$DESK_PHONE_SIP
      cat <<CONF
[$phone](+type=endpoint)
media_address = 127.0.0.1
bind_rtp_to_media_address = yes
[$phone](+type=auth)
password = $PHONE_SECRET
[$phone](+type=aor)
contact = sip:${phone#agent}@127.0.0.3:$port
qualify_frequency = 0
CONF
    done
  } > "$PBX/etc/local.d/pjsip.conf"
  {
    cat <<CONF
[from-phones](+)
exten => 100,1,Dial(PJSIP/100,30,tT)
exten => 10010,1,Dial(PJSIP/10010,30,tT)
; A menu of the PBX; parking and the slots; the pick-up of a call that rings at 1003.
exten => 190,1,Answer()
 same => n,Wait(60)
exten => 700,1,Park()
exten => _70[1-9],1,ParkedCall(,\${EXTEN})
exten => *81003,1,PickupChan(PJSIP/1003,p)
; One number is handled as in an existing PBX: through the snippet.
[from-trunk](+)
exten => 0355501008,1,Goto(from-pstn-toritsugi,\${EXTEN},1)
; Numbers behind an existing PBX that has the manager users only: its routes overwrite the presentation, as FreePBX's
; do after saving it, or without saving it.
exten => 0355501011,1,Goto(existing-pbx,\${EXTEN},1)
exten => 0355501012,1,Goto(existing-pbx,\${EXTEN},1)
exten => 0355501013,1,Goto(existing-pbx,\${EXTEN},1)
; 0355501017 rings an operator and a mobile at once. 0355501018 dials an operator, who must press 1. 0355501019 dials
; an operator for 2 s, then it is answered by the PBX itself, as by a mailbox.
exten => 0355501017,1,Dial(PJSIP/1001&PJSIP/09011112222@trunk,30,t)
exten => 0355501018,1,Dial(PJSIP/1001,30,tgU(toritsugi-accept^^1001^))
 same => n,Hangup()
exten => 0355501019,1,Dial(PJSIP/1001,2,t)
 same => n,Answer()
 same => n,Wait(60)
 same => n,Hangup()
; 0355501021 waits in a queue that gives up after 2 s; 0355501022 rings two operators for 3 s. Then the PBX hangs up.
exten => 0355501021,1,Queue(lab-gives-up,t,,,2)
 same => n,Hangup()
exten => 0355501022,1,Dial(PJSIP/1001&PJSIP/1002,3,t)
 same => n,Hangup()
; 0355501023 is followed from an operator's phone to a mobile; 0355501024 rings one phone, which may forward the call.
; 0355501025 rings the reception, whose phone is no operator's. 0355501026 is answered by a menu: 1 rings an operator, any
; other key the reception.
exten => 0355501023,1,FollowMe(1001)
 same => n,Hangup()
exten => 0355501024,1,Dial(PJSIP/1001,30,t)
 same => n,Hangup()
exten => 0355501025,1,Dial(PJSIP/100,30,t)
 same => n,Hangup()
exten => 0355501026,1,Answer()
 same => n,Read(LAB_KEY,,1,,1,20)
 same => n,Dial(PJSIP/\${IF(\$["\${LAB_KEY}" = "1"]?1001:100)},30,t)
 same => n,Hangup()
; 0355502101 and following ring one phone of the crowd each.
; 0355502205 rings a phone whose endpoint is not its extension.
exten => 0355502205,1,Dial(PJSIP/agent1005,30,t)
; 0355502204 rings the phone that a test plays byte by byte.
exten => 0355502204,1,Dial(PJSIP/$RAW_PHONE,30,t)
exten => _03555021XX,1,Dial(PJSIP/11\${EXTEN:8},30,t)
[existing-pbx]
exten => 0355501011,1,ExecIf(\$["\${CALLERID(name)}" = ""]?Set(CALLERID(name)=\${CALLERID(num)}))
 same => n,Set(__CALLINGNAMEPRES_SV=\${CALLERID(name-pres)})
 same => n,Set(__CALLINGNUMPRES_SV=\${CALLERID(num-pres)})
 same => n,Set(CALLERID(name-pres)=allowed_not_screened)
 same => n,Set(CALLERID(num-pres)=allowed_not_screened)
 same => n,Queue(operators,t,,,30)
exten => 0355501012,1,Set(CALLERID(pres)=allowed_not_screened)
 same => n,Set(CALLERID(name)=CNAM \${CALLERID(num)})
 same => n,Queue(operators,t,,,30)
; Nothing shows what the route does, and nobody can ask before it has done it.
exten => 0355501013,1,Set(CALLERID(pres)=allowed_not_screened)
 same => n,Dial(PJSIP/1001&PJSIP/1002,30,t)
[lab-member]
exten => _1XXX,1,Dial(PJSIP/\${EXTEN},30,t)
[from-pstn]
exten => 0355501008,1,Dial(PJSIP/1001&PJSIP/1002,30,t)
CONF
    # The dialplan is already included.
    grep -v '^#tryinclude' "$HERE/../../asterisk-conf/snippets/extensions_custom.conf"
  } > "$PBX/etc/local.d/extensions.conf"
}

far_end() {
  cp "$HERE"/far-end/*.conf "$FAR/etc/"
  { printf '[options]\nhideconnect = yes\n'; directories "$INSIDE_FAR"; } > "$FAR/etc/asterisk.conf"
  cat > "$FAR/etc/local.d/manager.conf" <<CONF
[general](+)
bindaddr = 127.0.0.2
port = $AMI
[lab]
secret = $LAB_SECRET
deny = 0.0.0.0/0.0.0.0
permit = 127.0.0.0/255.0.0.0
read = all
write = all
writetimeout = 5000
CONF
  cat > "$FAR/etc/local.d/rtp.conf" <<CONF
[general]
rtpstart = 40000
rtpend = 49999
CONF
  printf '[general]\nudptlstart = 40000\nudptlend = 44999\n' > "$FAR/etc/local.d/udptl.conf"
  sed -i "s#^directory = .*#directory = $INSIDE_FAR/moh#" "$FAR/etc/musiconhold.conf"
  {
    cat <<CONF
[carrier-side](+)
bind = 127.0.0.2:$SIP
[phone-side](+)
bind = 127.0.0.3:$SIP
[pbx](+type=aor)
contact = sip:127.0.0.1:$SIP
CONF
    local phone
    for phone in $PHONES $LOOK_ALIKES $NAMED $CROWD; do
      cat <<CONF
[phone-$phone](phone)
from_user = $phone
outbound_auth = phone-$phone
[phone-$phone](phone-auth)
username = $phone
password = $PHONE_SECRET
CONF
    done
  } > "$FAR/etc/local.d/pjsip.conf"
  printf '[globals](+)\nPBX = 127.0.0.1:%s\nSILENCE = %s/silence\n' "$SIP" "$INSIDE_FAR" > "$FAR/etc/local.d/extensions.conf"
}

EVENTS_SECRET="$(secret)" ACTIONS_SECRET="$(secret)" LAB_SECRET="$(secret)" PHONE_SECRET="$(secret)"
umask 077
make_directories
sounds
pbx
far_end
printf '%s\n' "$EVENTS_SECRET" > "$PBX/events.secret"
printf '%s\n' "$ACTIONS_SECRET" > "$PBX/actions.secret"
printf '%s\n' "$LAB_SECRET" > "$PBX/lab.secret"
