#!/bin/bash
# A Python program keeps a total in memory only. It is saved, killed with SIGKILL, restored, and adds to the total it had.
# Numbers reach it through a FIFO, so that the shell can speak to it before and after.
set -eu
perdure=${PERDURE:-perdure}
dir=$(mktemp -d)
name=counter-$$
trap '"$perdure" rm --force --store "$dir/store" "$name" >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT
mkfifo "$dir/numbers"

cat >"$dir/counter.py" <<'PY'
import os, sys
total = 0                                   # the only copy is in memory
with open(sys.argv[1] + "/numbers", "r+b", buffering=0) as numbers:
    while True:
        total += int(numbers.readline())
        with open(sys.argv[1] + "/new", "w") as out:
            out.write(f"{total}\n")
        os.replace(sys.argv[1] + "/new", sys.argv[1] + "/total")
PY

# Sends a number; prints the total that comes back.
add() {
  rm -f "$dir/total"
  echo "$1" >"$dir/numbers"
  for _ in $(seq 1000); do
    [[ -e $dir/total ]] && { cat "$dir/total"; return; }
    sleep 0.01
  done
  echo "no answer to $1" >&2
  return 1
}

# Its output has a file of its own: one that others go on writing would differ from the epoch at the restore.
"$perdure" run -d --name "$name" --store "$dir/store" -- python3 "$dir/counter.py" "$dir" </dev/null >"$dir/output" 2>&1 ||
  { cat "$dir/output"; exit 1; }
add 20
add 22
"$perdure" checkpoint --wait "$name"
add 100
"$perdure" kill "$name"

"$perdure" restore -d --store "$dir/store" "$name" </dev/null
total=$(add 1)
echo "saved at 42, restored, one more: $total"
[[ $total == 43 ]]
