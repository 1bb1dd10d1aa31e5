#!/usr/bin/env bash
# In a container: writes the settings of one run, with new secrets, into the shared directory /lab.
set -euo pipefail

readonly LAB=/lab SIP_PORT=5060
readonly AMI_PORT=$((SIP_PORT + 1))

rm -rf -- "${LAB:?}"/*
/src/tests/pbx_lab/instance.sh "$LAB/pbx" "$LAB/far" "$LAB/pbx" "$LAB/far" "$SIP_PORT" 22
cat > "$LAB/lab.env" << ENV
LAB_FAR_AMI_HOST=127.0.0.2
LAB_FAR_AMI_PORT=$AMI_PORT
LAB_USER=lab
LAB_SECRET_FILE=$LAB/pbx/lab.secret
ENV
cat > "$LAB/toritsugi.toml" << CONFIG
[pbx]
name = "demo"
port = $AMI_PORT
event_secret_file = "pbx/events.secret"
action_secret_file = "pbx/actions.secret"
CONFIG
