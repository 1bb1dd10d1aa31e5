#!/usr/bin/env bash
# In a container: imports the sample companies, and creates the token of the operator at extension 1001.
set -euo pipefail

for kind in accounts customers contacts; do
  toritsugi import "$kind" "/src/tests/samples/$kind.csv"
done
rm -f /lab/token
umask 077
toritsugi user add demo --role operator --extension 1001 --token-file /lab/token
