#!/usr/bin/env bash
# Runs a command that is silent for minutes and says every few seconds that it still runs and for how long.
# Its output goes to a temporary file that is shown only if it fails.
#
# Usage: progress.sh LABEL COMMAND [ARGUMENT...]
set -euo pipefail

label=$1
shift
interval=15
log=$(mktemp)
child=

stop() {
    [ -z "$child" ] || kill "$child" 2>/dev/null || true
    rm -f "$log"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

SECONDS=0
echo "==> $label"
"$@" >"$log" 2>&1 </dev/null &
child=$!
next=$interval
while kill -0 "$child" 2>/dev/null; do
    sleep 0.2
    if [ "$SECONDS" -ge "$next" ]; then
        echo "    $label: ${SECONDS} s"
        next=$((SECONDS + interval))
    fi
done
status=0
wait "$child" || status=$?
child=
if [ "$status" -ne 0 ]; then
    cat "$log" >&2
    echo "error: $label failed after ${SECONDS} s (exit status $status): $*" >&2
    exit "$status"
fi
echo "    $label: done in ${SECONDS} s"
