#!/usr/bin/env bash
# Places one call to the PBX of a running lab, as from the carrier.
#
#   call.sh RUN_DIR --from NUMBER --to NUMBER [--diverted-by NUMBER] [--name TEXT]
#           [--withheld] [--rings SECONDS]
#
#   --diverted-by   the client company's own number, in a Diversion header
#   --withheld      From is anonymous; P-Asserted-Identity contains the number, with
#                   Privacy: id, as carriers send it
#   --rings         the caller hangs up after this many seconds (default 30)
#
# Also:  call.sh RUN_DIR --phone NUMBER BEHAVIOUR
#   Sets what this phone does when it rings: ring, answer/SECONDS, busy,
#   refuse, unreachable, press/SECONDS/KEYS, mailbox, brief/SECONDS/TALK_SECONDS
set -euo pipefail

die() { echo "lab: $*" >&2; exit 1; }

RUN_DIR="" FROM="" TO="" DIVERTED_BY="" NAME="" WITHHELD=no RINGS=30 PHONE="" BEHAVIOUR=""
while (($#)); do
  case "$1" in
    --from) FROM="$2"; shift ;;
    --to) TO="$2"; shift ;;
    --diverted-by) DIVERTED_BY="$2"; shift ;;
    --name) NAME="$2"; shift ;;
    --withheld) WITHHELD=yes ;;
    --rings) RINGS="$2"; shift ;;
    --phone) PHONE="$2"; BEHAVIOUR="$3"; shift 2 ;;
    -*) die "unknown option $1 (see the head of tests/pbx_lab/call.sh)" ;;
    *) RUN_DIR="$1" ;;
  esac
  shift
done
[[ -n "$RUN_DIR" ]] || die "usage: call.sh RUN_DIR --from NUMBER --to NUMBER (see the head of the script)"
[[ -f "$RUN_DIR/lab.env" ]] || die "no lab runs in $RUN_DIR: start one with tests/pbx_lab/up.sh $RUN_DIR"
for number in "$FROM" "$TO" "$DIVERTED_BY" "$PHONE" "$RINGS"; do
  [[ "$number" =~ ^\+?[0-9]*$ ]] || die "'$number' is not a number"
done
[[ "$NAME$BEHAVIOUR" != *[$'\r\n"\\']* ]] || die "a name must contain neither quotes nor line ends"
# shellcheck source=/dev/null
. "$RUN_DIR/lab.env"

# Sends one action (one header per argument); fails with the message of the response if it is refused.
action() {
  exec 3<> "/dev/tcp/$LAB_FAR_AMI_HOST/$LAB_FAR_AMI_PORT" || die "the far end does not answer"
  printf '%s\r\n' "Action: Login" "Username: $LAB_USER" "Secret: $(<"$LAB_SECRET_FILE")" "Events: off" "" \
    "$@" "ActionID: call" "" "Action: Logoff" "" >&3
  local line response="" ours=no
  while IFS= read -r -t 10 line <&3; do
    line="${line%$'\r'}"
    case "$line" in
      "Response: "*) response="${line#Response: }" ours=no ;;
      "ActionID: call") ours=yes ;;
      "Message: "*)
        if [[ "$ours" == yes ]]; then
          exec 3>&-
          [[ "$response" == Success ]] || die "the far end refused: ${line#Message: }"
          return
        fi ;;
    esac
  done
  die "the far end did not answer in time"
}

if [[ -n "$PHONE" ]]; then
  action "Action: DBPut" "Family: behaviour" "Key: $PHONE" "Val: $BEHAVIOUR"
  exit
fi
[[ -n "$FROM" && -n "$TO" ]] || die "--from and --to are required"

endpoint=carrier caller="$NAME <$FROM>" headers=()
if [[ "$WITHHELD" == yes ]]; then
  endpoint=carrier-anonymous caller="Anonymous <anonymous>"
  headers+=("Variable: PJSIP_HEADER(add,P-Asserted-Identity)=<sip:$FROM@carrier.example>"
    "Variable: PJSIP_HEADER(add,Privacy)=id")
else
  headers+=("Variable: PJSIP_HEADER(add,P-Asserted-Identity)=<sip:$FROM@carrier.example>")
fi
if [[ -n "$DIVERTED_BY" ]]; then
  headers+=("Variable: PJSIP_HEADER(add,Diversion)=<sip:$DIVERTED_BY@carrier.example>;reason=unconditional;counter=1")
fi
action "Action: Originate" "Channel: PJSIP/$TO@$endpoint" "Context: talk" "Exten: s" "Priority: 1" \
  "CallerID: $caller" "Timeout: $((RINGS * 1000))" "Async: true" \
  "Variable: PARTY=$FROM" "Variable: PARTY_KIND=caller" "${headers[@]}"
