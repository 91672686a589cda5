#!/usr/bin/env python3
"""Measures the speed targets on real programs; prints a table and writes JSON. All ratios are of one run.

bench/macro/run.py --perdure build/src/perdure [--only idle,one_shot] [--json FILE] [--directory ON_THIS_DISK]
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import continuous  # noqa: E402
import criu  # noqa: E402
import restart  # noqa: E402
from harness.perdure_command import PerdureFailed  # noqa: E402
from measure import print_table, write_json  # noqa: E402
from scenarios import SCENARIOS as ONE_SHOT, Bench  # noqa: E402

SCENARIOS = {**ONE_SHOT, **continuous.SCENARIOS, **restart.SCENARIOS}


def run(bench, names, with_criu):
    rows, failures = [], []
    for name in names:
        print(f"measuring {name} ...", flush=True)
        try:
            rows += SCENARIOS[name](bench)
        except (PerdureFailed, RuntimeError, OSError) as failure:
            failures.append(f"{name}: {failure}")
    if with_criu:
        print("measuring criu ...", flush=True)
        more, message = criu.compare(bench)
        rows += more
        print(message or "criu: done")
    return rows, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--perdure", required=True, help="the perdure binary")
    parser.add_argument("--only", help="scenarios, separated by commas: " + ", ".join(SCENARIOS))
    parser.add_argument("--no-criu", action="store_true", help="leave out the comparison")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--directory", help="where stores lie; default: the temporary directory")
    parser.add_argument("--json", help="also write the figures here")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(SCENARIOS)
    directory = tempfile.mkdtemp(prefix="perdure-bench-", dir=options.directory)
    try:
        bench = Bench(str(Path(options.perdure).resolve()), directory, options.repetitions)
        rows, failures = run(bench, names, not options.no_criu)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if rows:
        print_table(rows)
    if options.json:
        write_json(options.json, rows)
    for failure in failures:
        print(f"bench: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
