#!/usr/bin/env python3
"""Saves a group for a long time, watches what grows, and draws it. Exit status 1 if something does.

bench/macro/soak.py --perdure build/src/perdure --minutes 30 --plot soak.svg --json soak.json

Every few seconds it asks `perdure ps --metrics` and `perdure log --json` what became of the epochs since, and the kernel what
the engine and the group's init take. Stop windows and lags are those of the epochs that the log still has, which are all of the
last second; everything else is of all epochs. Interrupted, it judges what it has.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from continuous import await_true, cpu_seconds, quantile, tool  # noqa: E402
from growth import Growth, Limit, SAMPLES_MIN, print_growth, self_test  # noqa: E402
from harness.perdure_command import PerdureFailed  # noqa: E402
from measure import Row, machine, memory_kib, print_table  # noqa: E402
from scenarios import Bench, init_of  # noqa: E402
from small_multiples import Panel, svg_of  # noqa: E402

MIB = 1 << 20
WARM_UP_MAX = 120.0  # seconds that are not judged: the collector and buffers find their size
SHARE_OVER_US = 2000  # stops that last longer are counted

# What may not grow: the figure of a sample, its unit, and by how much it may in a run.
LIMITS = {
    "engine memory": ("engine_mib", "MiB", Limit(share=0.05, amount=2)),
    "init memory": ("init_mib", "MiB", Limit(share=0.05, amount=1)),
    "stop window p50": ("stop_p50_ms", "ms", Limit(share=0.2, amount=0.05)),
    "stop window p99": ("stop_p99_ms", "ms", Limit(share=0.3, amount=0.2)),
    "captured to durable p50": ("lag_p50_ms", "ms", Limit(share=0.3, amount=1)),
    "store on disk : live": ("store_ratio", "x", Limit(share=0.15, amount=0.2)),
    "engine CPU an epoch": ("cpu_ms", "ms", Limit(share=0.25, amount=0.2)),
    "period that is kept": ("period_ms", "ms", Limit(share=0.2, amount=2)),
}


def span_seconds(text):
    for unit, factor in (("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600)):
        if text.endswith(unit):
            return float(text[:-len(unit)]) * factor
    raise argparse.ArgumentTypeError(f"{text} is no span of time, as 10ms or 2s are")


def written_bytes(pid):
    with open(f"/proc/{pid}/io", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("write_bytes:"))


class Reading:
    """Counters of one moment, of the engine that is asked and of the kernel."""

    def __init__(self, group, engine_pid, init_pid):
        self.seconds = time.monotonic()
        self.metrics = group.metrics()
        self.cpu, self.written = cpu_seconds(engine_pid), written_bytes(engine_pid)
        self.engine_mib, self.init_mib = (memory_kib(pid, "VmRSS") / 1024 for pid in (engine_pid, init_pid))

    def counter(self, name):
        return self.metrics[f"perdure_{name}"]

    def more_than(self, before, name):
        return self.counter(name) - before.counter(name)


class Watch:
    """Samples of a group, each of the time since the one before."""

    def __init__(self, group):
        row = group.row()
        self._group, self._engine, self._init = group, row["engine_pid"], init_of(row["root_pid"])
        self.samples, self.begin = [], time.monotonic()
        self._whole_bytes = max(epoch["bytes_written"] for epoch in group.epochs())
        self._newest = row["newest_epoch"] or 0
        self.first = self.last = Reading(group, self._engine, self._init)

    def sample(self):
        now = Reading(self._group, self._engine, self._init)
        epochs = self._group.epochs()
        self.samples.append({**self._of_counters(now), **self._of_epochs(epochs, now)})
        self.last, self._newest = now, epochs[-1]["epoch"]
        return self.samples[-1]

    def _of_counters(self, now):
        seconds, before = now.seconds - self.last.seconds, self.last
        copied = now.more_than(before, "pages_copied_bytes_total")
        written, captured = now.written - before.written, now.more_than(before, "epochs_captured_total")
        return {"minutes": (now.seconds - self.begin) / 60, "rate": captured / seconds,
                "missed_rate": now.more_than(before, "epochs_missed_total") / seconds,
                "failures": now.more_than(before, "failures_total"), "period_ms": 1000 * now.counter("period_now_seconds"),
                "engine_mib": now.engine_mib, "init_mib": now.init_mib, "cpu_percent": 100 * (now.cpu - before.cpu) / seconds,
                "cpu_ms": 1000 * (now.cpu - before.cpu) / captured if captured else None,
                "copied_mib": copied / MIB, "written_mib": written / MIB, "amplification": written / copied if copied else None}

    def _of_epochs(self, epochs, now):
        """What is live: the whole memory once, and what each epoch that is kept has changed."""
        fresh = [epoch for epoch in epochs if epoch["epoch"] > self._newest]
        live = self._whole_bytes + sum(min(epoch["bytes_written"], self._whole_bytes) for epoch in epochs[1:])
        store = now.counter("store_bytes")
        return {**stop_figures(fresh), "store_mib": store / MIB, "live_mib": live / MIB, "store_ratio": store / live,
                "kept_epochs": len(epochs)}


def stop_figures(epochs):
    if not epochs:
        return dict.fromkeys(("stop_p50_ms", "stop_p99_ms", "stop_max_ms", "lag_p50_ms", "lag_p99_ms"))
    stops = [epoch["stop_us"] / 1000 for epoch in epochs]
    lags = [(epoch["durable_realtime_ns"] - epoch["captured_realtime_ns"]) / 1e6 for epoch in epochs]
    return {"stop_p50_ms": quantile(stops, 0.5), "stop_p99_ms": quantile(stops, 0.99), "stop_max_ms": max(stops),
            "lag_p50_ms": quantile(lags, 0.5), "lag_p99_ms": quantile(lags, 0.99), "parts_us": part_medians(epochs)}


def part_medians(epochs):
    """Of the parts of stop windows, as `perdure log --timing` names them."""
    timings = [epoch["timing"] for epoch in epochs if epoch["timing"]]
    names = {name for timing in timings for name in timing}
    return {name: statistics.median(timing.get(name, 0) for timing in timings) for name in sorted(names)}


def watch(group, options):
    """Samples until the time is over, or somebody has had enough."""
    watched = Watch(group)
    with contextlib.suppress(KeyboardInterrupt):
        while time.monotonic() < watched.begin + 60 * options.minutes:
            time.sleep(max(0.0, watched.last.seconds + options.sample_every - time.monotonic()))
            sample = watched.sample()
            print(f"  {sample['minutes']:6.2f} min  {sample['rate']:5.1f} epochs/s  stop p50 {text_of(sample['stop_p50_ms'])} "
                  f"p99 {text_of(sample['stop_p99_ms'])} ms  lag {text_of(sample['lag_p50_ms'])} ms  engine "
                  f"{sample['engine_mib']:.1f} MiB  store {sample['store_mib']:.0f} MiB", flush=True)
    return watched


def text_of(value):
    return "-" if value is None else f"{value:.2f}"


def figures(samples, options):
    """Rows of the whole run: the median sample, and the worst."""
    def values(key):
        return [sample[key] for sample in samples if sample[key] is not None] or [0.0]
    wanted = 1 / span_seconds(options.every)
    return [Row("epochs made", values("rate"), "/s", note=f"{wanted:.0f} wanted"),
            Row("epochs missed", values("missed_rate"), "/s"),
            Row("stop window p50", values("stop_p50_ms"), "ms"), Row("stop window p99", values("stop_p99_ms"), "ms"),
            Row("stop window max", values("stop_max_ms"), "ms"),
            Row("captured to durable p50", values("lag_p50_ms"), "ms"), Row("captured to durable p99", values("lag_p99_ms"), "ms"),
            Row("engine memory", values("engine_mib"), "MiB"), Row("init memory", values("init_mib"), "MiB"),
            Row("store on disk", values("store_mib"), "MiB"), Row("  live in it", values("live_mib"), "MiB"),
            Row("  on disk : live", values("store_ratio"), "x"),
            Row("written : copied from the program", values("amplification"), "x"),
            Row("engine CPU, of one core", values("cpu_percent"), "%"), Row("  an epoch", values("cpu_ms"), "ms")]


def growths(samples, warm_up):
    judged = [sample for sample in samples if 60 * sample["minutes"] > warm_up]
    found = []
    for name, (key, unit, limit) in LIMITS.items():
        points = [(60 * sample["minutes"], sample[key]) for sample in judged if sample[key] is not None]
        if points:
            found.append(Growth(name, unit, *map(list, zip(*points)), limit))
    return found


def long_stops(watched):
    """How many of all stop windows lasted longer than about SHARE_OVER_US, of how many, and where exactly the bound lies."""
    bounds = [float(key[3:]) for key in watched.last.metrics["buckets"] if key != "le=+Inf"]
    bound = min((b for b in bounds if 1e6 * b >= SHARE_OVER_US), default=max(bounds))
    counts = {key: count - watched.first.metrics["buckets"].get(key, 0) for key, count in watched.last.metrics["buckets"].items()}
    total = counts["le=+Inf"]
    within = next(count for key, count in counts.items() if key != "le=+Inf" and float(key[3:]) == bound)
    return int(total - within), int(total), 1000 * bound


def plot(samples, options):
    def lines(**keys):
        return {label.replace("_", " "): [sample[key] for sample in samples] for label, key in keys.items()}
    panels = [Panel("Epochs", "1/s", lines(made="rate", missed="missed_rate")),
              Panel("Stop window", "ms", lines(p50="stop_p50_ms", p99="stop_p99_ms")),
              Panel("Captured to durable", "ms", lines(p50="lag_p50_ms", p99="lag_p99_ms")),
              Panel("Memory", "MiB", lines(engine="engine_mib", init="init_mib")),
              Panel("Store", "MiB", lines(on_disk="store_mib", live="live_mib")),
              Panel("CPU of the engine", "% of one core", lines(engine="cpu_percent"))]
    return svg_of(f"Saved every {options.every} for {samples[-1]['minutes']:.1f} minutes", described(options),
                  [sample["minutes"] for sample in samples], panels)


def described(options):
    return (f"{options.resident_mib} MiB resident, {options.dirty_kib} KiB changed every 5 ms, keeping {options.keep}; "
            f"{os.cpu_count()} processors, Linux {os.uname().release}")


def soak(bench, options):
    """The samples of a run, and what was wrong with the store or the epochs."""
    command = [tool(bench, "touch"), "set", str(options.resident_mib), str(options.dirty_kib)]
    with bench.group(command, ["--keep", options.keep]) as group:
        pid = group.root_pid()
        await_true(lambda: memory_kib(pid, "VmRSS") >= options.resident_mib << 10, "the memory is filled")
        group.resume(options.every)
        await_true(lambda: group.newest_epoch() >= 1, "the first epoch")
        watched = watch(group, options)
        row = group.row()
        group.pause()
        return watched, faults(group, row, watched.samples)


def faults(group, row, samples):
    found = []
    if not row or not row["running"]:
        return ["the group does not run any more"]
    failed = int(sum(sample["failures"] for sample in samples))
    if failed:
        found.append(f"{failed} epochs failed; the last error: {row['periodic']['last_error']}")
    try:
        group.scrub()
    except PerdureFailed as damage:
        found.append(f"scrub: {damage}")
    return found


def report(watched, wrong, options):
    """Prints, writes what is wanted, and says whether all is well."""
    samples = watched.samples
    judged = growths(samples, options.warm_up)
    rows = figures(samples, options)
    print_table(rows)
    over, total, bound = long_stops(watched)
    print(f"stop windows longer than {bound:.1f} ms: {over} of {total}")
    print_growth(judged)
    grown = [f"{growth.name} grows" for growth in judged if growth.grows]
    if any(not growth.judged for growth in judged) or not judged:
        print(f"too short to judge growth: that takes {SAMPLES_MIN} samples after the first {options.warm_up:.0f} s")
    if options.json:
        record = {"machine": machine(), "options": {**vars(options)}, "rows": [row.as_dict() for row in rows],
                  "growth": [growth.as_dict() for growth in judged], "stops": {"longer_than_ms": bound, "count": over, "of": total},
                  "wrong": wrong + grown, "samples": samples}
        Path(options.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        Path(options.plot).write_text(plot(samples, options), encoding="utf-8")
    for what in wrong + grown:
        print(f"soak: {what}", file=sys.stderr)
    print("FAIL" if wrong + grown else "pass")
    return not wrong + grown


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--perdure", required=True, help="the perdure binary")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--every", default="10ms", help="the period of epochs")
    parser.add_argument("--dirty-kib", type=int, default=512, help="what the program changes every 5 ms: half of that of an epoch")
    parser.add_argument("--resident-mib", type=int, default=256)
    parser.add_argument("--keep", default="all:1s,1/s:1m,1/m:1h,1/h:7d", help="which epochs stay")
    parser.add_argument("--sample-every", type=span_seconds, default=5.0, help="from one sample to the next")
    parser.add_argument("--warm-up", type=span_seconds, help="not judged; default: a fifth, at most two minutes")
    parser.add_argument("--directory", help="where the store lies; default: the temporary directory")
    parser.add_argument("--plot", help="draw the run into this SVG")
    parser.add_argument("--json", help="write figures and samples here")
    options = parser.parse_args()
    if options.warm_up is None:
        options.warm_up = min(WARM_UP_MAX, 12 * options.minutes)
    return options


def main():
    options = parsed()
    self_test()
    directory = tempfile.mkdtemp(prefix="perdure-soak-", dir=options.directory)
    try:
        watched, wrong = soak(Bench(str(Path(options.perdure).resolve()), directory, 1), options)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if not watched.samples:
        print("soak: ended before the first sample", file=sys.stderr)
        return 1
    return 0 if report(watched, wrong, options) else 1


if __name__ == "__main__":
    sys.exit(main())
