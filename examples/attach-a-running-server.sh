#!/bin/bash
# A redis-server that already runs is adopted, saved and lost, and comes back under its old pid.
set -eu
perdure=${PERDURE:-perdure}
dir=$(mktemp -d)
name=adopted-$$
trap '"$perdure" rm --force --store "$dir/store" "$name" >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT
cli() { redis-cli -s "$dir/socket" "$@" 2>/dev/null; }
wait_for_server() {
  for _ in $(seq 1000); do
    [[ $(cli PING) == PONG ]] && return
    sleep 0.01
  done
  echo "redis-server does not answer" >&2
  return 1
}

# As a service manager would start it: in a session of its own, with none of this shell's descriptors.
close_others() {
  for fd in /proc/self/fd/*; do
    ((${fd##*/} > 2)) && eval "exec ${fd##*/}>&-"
  done 2>/dev/null
  exec "$@"
}
close_others setsid redis-server --port 0 --unixsocket "$dir/socket" --save '' --dir "$dir" --logfile log \
  </dev/null >/dev/null 2>&1 &
pid=$!
disown "$pid"
wait_for_server
cli SET city Lisbon >/dev/null

"$perdure" attach --name "$name" --store "$dir/store" "$pid"
"$perdure" checkpoint --wait "$name"
cli SET city nowhere >/dev/null
"$perdure" kill "$name"

"$perdure" restore -d --store "$dir/store" "$name" </dev/null
wait_for_server
[[ $(cli GET city) == Lisbon ]]
[[ $(cli INFO server | tr -d '\r' | sed -n 's/^process_id://p') == "$pid" ]]
echo "redis-server is back as process $pid with city = $(cli GET city)"
