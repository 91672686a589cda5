"""Groups that are saved all the time: stop windows, what the load loses, how far the disk is behind.

Each figure comes from the epochs of one run, as the engine noted them; throughput and run time are compared with the same
program outside of Perdure, measured just before.
"""

import contextlib
import csv
import io
import os
import shutil
import subprocess
import time
from pathlib import Path

from harness.redis_client import RedisClient
from measure import Row, memory_kib
from scenarios import resident_of

EVERY = "10ms"
OPTIONS = ["--keep", "100000"]  # every epoch of a run
SECONDS = 3.0  # of each run that is measured
FIRST_EPOCHS = 20  # not counted: the whole memory is saved in the first, which lengthens the period for a while
EPOCHS_MIN = 10  # for a figure
STOP_TARGETS_US = {4: 185, 1024: 250, 4096: 350, 16384: 700, 65536: 2000}  # by KiB that change
RESIDENT_MIB = 1024


def tool(bench, name):
    path = Path(bench.program).parent.parent / "bench" / name
    if not path.exists():
        raise RuntimeError(f"{path} is not built")
    return str(path)


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def await_true(condition, what, seconds=60, pause=0.02):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {seconds} s still not: {what}")
        time.sleep(pause)


class Periodic:
    """A group that is saved at a period while this context lasts; then its epochs."""

    def __init__(self, group, every=EVERY):
        self._group, self._every = group, every
        self.epochs, self.lags_ms = [], []

    def __enter__(self):
        self._group.resume(self._every)
        await_true(lambda: self._group.newest_epoch() >= FIRST_EPOCHS, "the first epochs")
        self._first = self._group.newest_epoch()
        self._cpu, self._begin = cpu_seconds(self._group.engine_pid()), time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self._begin
        self.cpu = cpu_seconds(self._group.engine_pid()) - self._cpu
        self._group.pause()
        self.epochs = [epoch for epoch in self._group.epochs() if epoch["epoch"] > self._first]
        if len(self.epochs) < EPOCHS_MIN:
            raise RuntimeError(f"only {len(self.epochs)} epochs in {self.seconds:.1f} s")

    def stops_us(self):
        return [epoch["stop_us"] for epoch in self.epochs]

    def watch(self, seconds):
        """Lets it run so long, and until there are enough epochs; asks now and then how far the disk is behind."""
        def done():
            self.lags_ms.append(self._group.durable_lag_ns() / 1e6)
            return time.monotonic() - self._begin > seconds and self._group.newest_epoch() >= self._first + EPOCHS_MIN
        await_true(done, f"{EPOCHS_MIN} epochs", pause=0.1)

    def rate(self):
        return f"{len(self.epochs) / self.seconds:.0f} epochs/s"


def stop_rows(name, periodic, target_us, worst_us):
    stops = periodic.stops_us()
    return [Row(f"{name}: stop window p50", [quantile(stops, 0.5)], "us", target_us, note=periodic.rate()),
            Row(f"{name}: stop window p99", [quantile(stops, 0.99)], "us", worst_us)]


def dirty_sets(bench):
    """Stop windows by what changes between two epochs, in a process of 1 GiB."""
    rows = []
    for kibibytes, target_us in STOP_TARGETS_US.items():
        with bench.group([tool(bench, "touch"), "set", str(RESIDENT_MIB), str(kibibytes)], OPTIONS) as group:
            pid = group.root_pid()
            await_true(lambda: memory_kib(pid, "VmRSS") >= RESIDENT_MIB << 10, "the memory is filled")
            with Periodic(group) as periodic:
                periodic.watch(SECONDS)
        size = f"{kibibytes} KiB" if kibibytes < 1024 else f"{kibibytes // 1024} MiB"
        rows += stop_rows(f"1 GiB, {size} dirty", periodic, target_us, 3 * target_us)
        if kibibytes == 1024:
            rows.append(Row("  CPU of the engine, of one core", [100 * periodic.cpu / periodic.seconds], "%", 15))
        if kibibytes == 4096:
            lags = periodic.lags_ms
            rows += [Row("  captured to durable p50", [quantile(lags, 0.5)], "ms", 5),
                     Row("  captured to durable p99", [quantile(lags, 0.99)], "ms", 20)]
    return rows


def busy(bench):
    """A program that computes and touches 100 MB/s."""
    command = [tool(bench, "touch"), "work", str(SECONDS), "25"]
    ratios = []
    for number in range(min(3, bench.repetitions)):
        plain = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        output = bench.directory / f"work-{number}"
        with bench.group(["/bin/sh", "-c", f"exec {' '.join(command)} >{output}"]) as group:
            group.resume(EVERY)
            await_true(lambda: output.exists() and output.read_text(encoding="ascii").endswith("\n"), "the program ends")
        ratios.append(float(output.read_text(encoding="ascii")) / plain)
    return [Row("computing and touching 100 MB/s: run time : plain", ratios, "x", 1.05)]


def redis_command(socket, directory, *more):
    return ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--daemonize", "no", "--dir",
            str(directory), "--enable-debug-command", "local", "--logfile", "redis.log", *(more or ("--appendonly", "no"))]


@contextlib.contextmanager
def plain(command):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def fill_redis(socket, megabytes):
    client = RedisClient.connect_within(socket, 10)
    keys = megabytes * 1000
    reply = client.command("DEBUG", "POPULATE", str(keys), "filled", "900")
    if reply != b"OK" or client.command("DBSIZE") < keys or resident_of(client) < megabytes * 1_000_000:
        raise RuntimeError(f"the server is not filled: {reply}")
    client.close()


def redis_load(socket, requests=150_000):
    """SETs of 50 clients: requests a second, and the 99th percentile in milliseconds."""
    command = ["redis-benchmark", "-s", socket, "-c", "50", "-t", "set", "-n", str(requests), "-r", "100000", "-d", "100", "--csv"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    row = next(row for row in csv.DictReader(io.StringIO(output)) if row["test"] == "SET")
    return float(row["rps"]), float(row["p99_latency_ms"])


def need(program):
    if shutil.which(program) is None:
        raise RuntimeError(f"{program} is not installed")


def redis_continuous(bench):
    """A server of 500 MB under load, saved a hundred times a second; beside it plain, and with its own log."""
    need("redis-benchmark")
    socket = str(bench.directory / "continuous.sock")
    with plain(redis_command(socket, bench.directory)):
        fill_redis(socket, 500)
        plain_rate, plain_p99 = redis_load(socket)
    with plain(redis_command(socket, bench.directory, "--appendonly", "yes", "--appendfsync", "always")):
        fill_redis(socket, 1)
        log_rate, _ = redis_load(socket, 30_000)
    with bench.group(redis_command(socket, bench.directory), OPTIONS) as group:
        fill_redis(socket, 500)
        with Periodic(group) as periodic:
            rate, p99 = redis_load(socket)
    shutil.rmtree(bench.directory / "appendonlydir", ignore_errors=True)
    return [*stop_rows("redis 500 MB, 50 clients", periodic, 500, 2000),
            Row("  throughput : plain", [100 * rate / plain_rate], "%", at_least=90, note=f"plain {plain_rate:.0f}/s"),
            Row("  p99 latency beyond plain", [max(0.0, p99 - plain_p99)], "ms", 2),
            Row("  throughput : appendfsync always", [rate / log_rate], "x", at_least=1.0, note=f"{log_rate:.0f}/s")]


def memcached_load(bench, socket):
    output = subprocess.run([tool(bench, "memcached_load"), socket, str(SECONDS), "16"], capture_output=True, text=True,
                            check=True).stdout
    return float(output.split()[0])


def await_socket(path):
    await_true(lambda: os.path.exists(path), f"{path} is there")
    time.sleep(0.2)  # until it listens


def memcached(bench):
    need("memcached")
    socket = str(bench.directory / "memcached.sock")
    command = ["memcached", "-u", "root", "-t", "4", "-m", "256", "-s", socket]
    with plain(command):
        await_socket(socket)
        plain_rate = memcached_load(bench, socket)
    rows = []
    for every, hertz, least in (("10ms", 100, 80), ("100ms", 10, 95)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(socket)
        with bench.group(command, OPTIONS) as group:
            await_socket(socket)
            with Periodic(group, every) as periodic:
                rate = memcached_load(bench, socket)
        rows.append(Row(f"memcached, {hertz} Hz: throughput : plain", [100 * rate / plain_rate], "%", at_least=least,
                        note=f"plain {plain_rate:.0f}/s, {periodic.rate()}"))
    return rows


SCENARIOS = {"dirty_sets": dirty_sets, "busy": busy, "redis_continuous": redis_continuous, "memcached": memcached}
