#!/bin/bash
# sqlite3 in the middle of a transaction on an in-memory database: two epochs, then back to the first.
# Its input is a FIFO that the program itself keeps open, so that the shell can speak to it again and again.
set -eu
perdure=${PERDURE:-perdure}
dir=$(mktemp -d)
name=rewind-$$
trap '"$perdure" rm --force --store "$dir/store" "$name" >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT
mkfifo "$dir/questions"

# Sends SQL; waits for the line that it prints.
ask() {
  rm -f "$dir/answer"
  printf '.once %s\n%s\n.shell mv %s %s\n' "$dir/part" "$1" "$dir/part" "$dir/answer" >"$dir/questions"
  for _ in $(seq 1000); do
    [[ -e $dir/answer ]] && { cat "$dir/answer"; return; }
    sleep 0.01
  done
  echo "no answer to: $1" >&2
  return 1
}

# Its output has a file of its own: one that others go on writing would differ from the epoch at the restore.
# shellcheck disable=SC2016  # $1 is for the inner shell
"$perdure" run -d --name "$name" --store "$dir/store" -- \
  sh -c 'exec sqlite3 -batch :memory: <>"$1"' sh "$dir/questions" </dev/null >"$dir/output" 2>&1 ||
  { cat "$dir/output"; exit 1; }

ask "CREATE TABLE t(city); BEGIN; INSERT INTO t VALUES('Lisbon'); SELECT 'rows: ' || count(*) FROM t;"
"$perdure" checkpoint --wait "$name"
ask "INSERT INTO t VALUES('Kyoto'); SELECT 'rows: ' || count(*) FROM t;"
"$perdure" checkpoint --wait "$name"
"$perdure" kill "$name"

"$perdure" restore -d --store "$dir/store" "$name" </dev/null
[[ $(ask "SELECT 'rows: ' || count(*) FROM t;") == "rows: 2" ]]
"$perdure" kill "$name"

"$perdure" restore -d --store "$dir/store" --epoch 1 "$name" </dev/null
[[ $(ask "SELECT 'rows: ' || count(*) FROM t;") == "rows: 1" ]]
[[ $(ask "COMMIT; SELECT group_concat(city) FROM t;") == Lisbon ]]
echo "back at epoch 1, inside its transaction, which then committed"
