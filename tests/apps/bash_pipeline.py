"""bash: a pipeline that is half way, background jobs, traps and arrays."""

import os
import subprocess

from app import await_true, check_equal, main

SCRIPT = r'''
cd "$1"
declare -A notes=([alpha]=1 [beta]="two words")
trap 'echo "usr1 $((++signals))" > signalled' USR1
generate() {
  for ((i = 1; i <= 3000; i++)); do
    echo $i
    if ((i == 1500 || i == 2500)); then
      : > ready.$i
      while [[ ! -e go.$i ]]; do sleep 0.02; done
    fi
  done
}
sleep 1000 & sleeper=$!
(exit 7) & failed=$!
generate | awk '{ sum += $1; print sum }' | tee total | (sort -n | cksum) > sum
statuses=("${PIPESTATUS[@]}")
wait $failed; echo "failed job: $?" > report
kill $sleeper; wait $sleeper; echo "killed job: $?" >> report
echo "pipeline: ${statuses[*]}" >> report
echo "notes: ${notes[alpha]} ${notes[beta]} ${#notes[@]}" >> report
kill -USR1 $$; cat signalled >> report
jobs >> report
mv report finished
'''


def at_rest(path, looks=25):
    """A condition: the file has had the same size at so many looks in a row."""
    sizes = []

    def look():
        sizes.append(os.path.getsize(path) if os.path.exists(path) else -1)
        return len(sizes) >= looks and len(set(sizes[-looks:])) == 1 and sizes[-1] >= 0
    return look


def drive(app):
    app.start("bash", app.write("script.sh", SCRIPT), app.workspace.folder)
    for stop in (1500, 2500):
        await_true(lambda: app.exists(f"ready.{stop}"), f"the pipeline reaches {stop}")
        # A file that the pipeline still writes would not be the epoch's any more.
        await_true(at_rest(app.path("total")), f"the pipeline rests at {stop}")
        app.lose()
        app.write(f"go.{stop}", "")
    await_true(lambda: app.exists("finished"), "the script ends")
    sums = "".join(f"{n * (n + 1) // 2}\n" for n in range(1, 3001))
    expected = subprocess.run(["cksum"], input=sums.encode(), capture_output=True, check=True).stdout.decode()
    check_equal(app.read("total"), sums, "what went through the pipeline")
    check_equal(app.read("sum"), expected, "the checksum at its end")
    check_equal(app.read("finished").splitlines(),
                ["failed job: 7", "killed job: 143", "pipeline: 0 0 0 0", "notes: 1 two words 2", "usr1 1"], "the report")


main(drive, "bash_pipeline")
