"""What is measured: real programs, the real command, a real disk. Each scenario returns rows."""

import contextlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import threading
import time
from pathlib import Path

from harness import data_set
from harness.perdure_command import Perdure
from harness.redis_client import ConnectionEnded, RedisClient
from measure import Row, memory_kib, spawn_and_wait

REDIS_RESIDENT_MB = 230


class Bench:
    """Where scenarios work: one directory on the disk that is measured."""

    def __init__(self, program, directory, repetitions):
        self.program, self.directory, self.repetitions = program, Path(directory), repetitions
        self._count = 0

    @contextlib.contextmanager
    def group(self, command, options=()):
        """A fresh group with a store of its own; gone afterwards. options: of run."""
        self._count += 1
        name = f"bench-{os.getpid()}-{self._count}"
        perdure = Perdure(self.program, str(self.directory / name))
        perdure.start(name, command, options)
        try:
            yield Group(self, perdure, name)
        finally:
            with contextlib.suppress(Exception):
                perdure.run("rm", "--force", "--store", perdure.store, name)
            shutil.rmtree(perdure.store, ignore_errors=True)


class Group:
    def __init__(self, bench, perdure, name):
        self._bench, self._perdure, self.name = bench, perdure, name

    def _timed(self, *arguments):
        seconds, output = spawn_and_wait([self._perdure.program, *arguments, "--json"], self._bench.directory)
        return seconds * 1000, json.loads(output)

    def checkpoint(self):
        """Milliseconds from the command to its end, and the engine's report."""
        return self._timed("checkpoint", "--wait", self.name)

    def restore(self, *options):
        return self._timed("restore", "-d", "--store", self._perdure.store, self.name, *options)

    def resume(self, every):
        """Saves it periodically from now on."""
        self._perdure.run("resume", "--every", every, "--store", self._perdure.store, self.name)

    def pause(self):
        self._perdure.run("pause", "--store", self._perdure.store, self.name)

    def epochs(self):
        return self._perdure.epochs(self.name)

    def row(self):
        """Of `perdure ps`."""
        return self._perdure.group(self.name)

    def metrics(self):
        return self._perdure.metrics(self.name)

    def scrub(self):
        self._perdure.run("scrub", self.name, "--store", self._perdure.store, timeout=600)

    def newest_epoch(self):
        return self._perdure.group(self.name)["newest_epoch"] or 0

    def durable_lag_ns(self):
        """From the capture of the epoch that became durable last to that moment."""
        return self._perdure.group(self.name)["periodic"]["durable_lag_ns"] or 0

    def kill(self):
        self._perdure.run("kill", self.name)

    def engine_pid(self):
        return self._perdure.group(self.name)["engine_pid"]

    def root_pid(self):
        return self._perdure.group(self.name)["root_pid"]

    def store_files(self):
        return [p for p in Path(self._perdure.store).rglob("*") if p.is_file()]


@contextlib.contextmanager
def redis(bench):
    """A redis-server of REDIS_RESIDENT_MB in a group, and a client of it."""
    socket = str(bench.directory / "redis.sock")
    command = ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--daemonize",
               "no", "--dir", str(bench.directory), "--logfile", "redis.log"]
    with bench.group(command) as group:
        client = RedisClient.connect_within(socket, 10)
        group.socket, group.keys = socket, fill_to(client, REDIS_RESIDENT_MB * 1_000_000)
        try:
            yield group, client
        finally:
            client.close()


def fill_to(client, resident_bytes):
    keys = 0
    while resident_of(client) < resident_bytes:
        data_set.fill(client, range(keys, keys + 500), 1)
        keys += 500
    return keys


def resident_of(client):
    for line in client.command("INFO", "memory").split(b"\r\n"):
        if line.startswith(b"used_memory_rss:"):
            used = int(line.split(b":")[1])
        if line.startswith(b"used_memory:"):
            allocated = int(line.split(b":")[1])
    return max(used, allocated)


def dd_seconds(bench, files):
    """Seconds that dd needs to write the same bytes with direct I/O to the same disk. The bytes come from memory."""
    source, target = Path("/dev/shm") / f"perdure-bench-{os.getpid()}", bench.directory / "dd"
    try:
        with open(source, "wb") as out:
            for path in files:
                with open(path, "rb") as part:
                    shutil.copyfileobj(part, out, 1 << 20)
            os.truncate(source, (os.path.getsize(source) + 4095) // 4096 * 4096)
        size = os.path.getsize(source)
        begin = time.perf_counter()
        subprocess.run(["dd", f"if={source}", f"of={target}", "bs=1M", "oflag=direct", "status=none"], check=True)
        return time.perf_counter() - begin, size
    finally:
        source.unlink(missing_ok=True)
        target.unlink(missing_ok=True)


def one_shot(bench):
    """The first checkpoint of a large server, beside dd; the engine's memory after it."""
    stop, whole, ratio, dd, resident, memory = [], [], [], [], [], []
    for _ in range(bench.repetitions):
        with redis(bench) as (group, client):
            milliseconds, report = group.checkpoint()
            whole.append(milliseconds)
            stop.append(report["stop_us"] / 1000)
            seconds, _ = dd_seconds(bench, group.store_files())
            dd.append(seconds * 1000)
            ratio.append(whole[-1] / dd[-1])
            resident.append(resident_of(client) / 1e6)
            memory.append(memory_kib(group.engine_pid(), "VmHWM") * 1024 / 1e6)
    return [
        Row("redis 230 MB, first checkpoint: stop window", stop, "ms", 10),
        Row("redis 230 MB, first checkpoint: command to durable", whole, "ms"),
        Row("  dd of the same bytes, direct I/O", dd, "ms"),
        Row("  checkpoint : dd", ratio, "x", 2.0),
        Row("engine memory beside redis 230 MB, highest", memory, "MB", 32 + 0.01 * max(resident)),
    ]


def first_reply(group, *options):
    """Seconds from the restore command to the first reply; a thread asks while the command runs."""
    begin = time.perf_counter()
    command = threading.Thread(target=group.restore, args=options)
    command.start()
    client = RedisClient.connect_within(group.socket, 10, poll=0.0005)
    value = client.command("GET", "key:7")
    seconds = time.perf_counter() - begin
    client.close()
    command.join()
    if value != data_set.value_of(7, 1):
        raise RuntimeError("the restored server's reply differs from what was stored")
    return seconds


def eager_restore(bench):
    replies = []
    with redis(bench) as (group, client):
        group.checkpoint()
        client.close()
        for _ in range(bench.repetitions):
            group.kill()
            replies.append(first_reply(group, "--eager") * 1000)
    return [Row("redis 230 MB, eager restore: command to first reply", replies, "ms", 60)]


# Holds megabytes that do not compress, and answers with the byte at an offset that it is sent.
HOLDER = """
import os, socket, sys
path, megabytes = sys.argv[1], int(sys.argv[2])
block = os.urandom(1 << 20)
held = bytearray(megabytes << 20)
for at in range(0, len(held), 1 << 20):
    held[at:at + (1 << 20)] = block
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(8)
while True:
    client = listener.accept()[0]
    offset = int(client.recv(64))
    client.sendall(bytes([held[offset], block[offset % len(block)]]))
    client.close()
"""


def ask_holder(path, offset, seconds=20):
    """Asks until there is an answer, and compares it."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        with socket.socket(socket.AF_UNIX) as client:
            with contextlib.suppress(OSError):
                client.connect(path)
                client.sendall(str(offset).encode())
                answer = client.recv(2)
                if len(answer) == 2:
                    if answer[0] != answer[1]:
                        raise RuntimeError(f"the byte at {offset} is wrong after a restore")
                    return
        time.sleep(0.0005)
    raise RuntimeError("the restored program does not answer")


def forget_cached(files):
    """The page cache forgets the files, so that the disk is read."""
    for path in files:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_seconds(files):
    begin = time.perf_counter()
    for path in files:
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
    return time.perf_counter() - begin


def init_of(root_pid):
    """The process 1 of the group whose command this is."""
    with open(f"/proc/{root_pid}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def pager_runs(root_pid):
    """Whether the init of a group still brings pages: it holds userfaultfds until all are there."""
    init = init_of(root_pid)
    for number in os.listdir(f"/proc/{init}/fd"):
        with contextlib.suppress(OSError):
            if "userfaultfd" in os.readlink(f"/proc/{init}/fd/{number}"):
                return True
    return False


def lazily(bench, megabytes):
    """Milliseconds, with a cold cache: from the restore command to the first reply; to the last page; reading the files."""
    path = str(bench.directory / f"holder-{megabytes}.sock")
    replies, complete, reads = [], [], []
    with bench.group(["/usr/bin/python3", "-c", HOLDER, path, str(megabytes)]) as group:
        ask_holder(path, 12345)
        group.checkpoint()
        segments = [file for file in group.store_files() if file.name.startswith("segment-")]
        for repetition in range(bench.repetitions):
            group.kill()
            forget_cached(segments)
            begin = time.perf_counter()
            command = threading.Thread(target=group.restore)
            command.start()
            ask_holder(path, (megabytes << 19) + 4096 * repetition)
            replies.append((time.perf_counter() - begin) * 1000)
            command.join()
            while pager_runs(group.root_pid()):
                time.sleep(0.001)
            complete.append((time.perf_counter() - begin) * 1000)
            forget_cached(segments)
            reads.append(read_seconds(segments) * 1000)
    return replies, complete, reads


def lazy_restore(bench):
    small, _, _ = lazily(bench, 100)
    replies, complete, reads = lazily(bench, 500)
    large, _, _ = lazily(bench, 1000)
    return [
        Row("500 MB, lazy restore: command to first reply", replies, "ms", 10),
        Row("  100 MB", small, "ms"),
        Row("  1 GB : 100 MB", [statistics.median(large) / statistics.median(small)], "x", 1.5),
        Row("500 MB, lazy restore: command to all pages there, cold cache", complete, "ms"),
        Row("  reading the files, cold cache", reads, "ms"),
        Row("  all pages there : reading", [c / r for c, r in zip(complete, reads)], "x", 1.2),
    ]


def idle(bench):
    saves, engine_saves, stops, restores, engine_restores = [], [], [], [], []
    for _ in range(4 * bench.repetitions):
        with bench.group(["sleep", "3600"]) as group:
            time.sleep(0.2)  # until it has started and is idle
            milliseconds, report = group.checkpoint()
            saves.append(milliseconds)
            engine_saves.append(report["total_us"] / 1000)
            stops.append(report["stop_us"] / 1000)
            group.kill()
            milliseconds, report = group.restore()
            restores.append(milliseconds)
            engine_restores.append(report["total_us"] / 1000)
    return [
        Row("idle sleep, first checkpoint: command to durable", saves, "ms", 3),
        Row("  of it in the engine", engine_saves, "ms"),
        Row("  of it stopped", stops, "ms"),
        Row("sleep, restore: command to running", restores, "ms", 5),
        Row("  of it in the engine", engine_restores, "ms"),
    ]


class Load:
    """A client that overwrites random values as fast as it gets replies, and counts them."""

    def __init__(self, socket, keys):
        self._client, self._keys = RedisClient(socket), keys
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.replies = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _write(self):
        value = random.randbytes(data_set.VALUE_BYTES)
        with contextlib.suppress(ConnectionEnded):
            while not self._stop.is_set():
                self._client.pipeline([("SET", f"key:{random.randrange(self._keys)}", value) for _ in range(16)])
                self.replies += 16


def loaded(bench):
    """Later checkpoints of a server under load: only what changed is saved."""
    stops, totals = [], []
    with redis(bench) as (group, _), Load(group.socket, group.keys):
        group.checkpoint()
        for _ in range(10 * bench.repetitions):
            _, report = group.checkpoint()
            stops.append(report["stop_us"] / 1000)
            totals.append(report["total_us"] / 1000)
    return [Row("redis 230 MB under load, later checkpoints: stop window", stops, "ms"),
            Row("  request to durable", totals, "ms")]


SCENARIOS = {"idle": idle, "one_shot": one_shot, "eager_restore": eager_restore, "lazy_restore": lazy_restore,
             "loaded": loaded}
