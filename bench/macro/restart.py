"""How soon a server answers again after it was killed: restored by Perdure, and from its own append-only file.

Both had the same load, and had made durable whatever they had answered; both are killed with SIGKILL; both are timed from the
command to the first right reply, once with the page cache empty of their files and once with all of them in it.
"""

import os
import shutil
import signal
import time
from pathlib import Path

from continuous import EVERY, OPTIONS, await_true, need, plain, redis_command, redis_load
from harness import data_set
from harness.redis_client import RedisClient
from measure import Row
from scenarios import fill_to, first_reply, forget_cached, init_of, read_seconds

MEGABYTES = 500
REQUESTS = 30_000
CACHES = {"cold cache": forget_cached, "warm cache": read_seconds}


def load(socket):
    """Values that can be made again, and then those of 50 clients."""
    client = RedisClient.connect_within(socket, 10)
    fill_to(client, MEGABYTES * 1_000_000)
    redis_load(socket, REQUESTS)
    return client


def own_restarts(bench, repetitions):
    """Milliseconds of redis-server by what is in the page cache."""
    socket, directory = str(bench.directory / "own.sock"), bench.directory / "own"
    directory.mkdir()
    command = redis_command(socket, directory, "--appendonly", "yes", "--appendfsync", "always")
    with plain(command):
        client = load(socket)
        await_true(lambda: b"aof_rewrite_in_progress:0" in client.command("INFO", "persistence"), "its log is compact")
        client.close()
    files = [path for path in directory.rglob("*.aof")]
    times = {name: [own_restart(command, socket, files, prepare) for _ in range(repetitions)] for name, prepare in CACHES.items()}
    shutil.rmtree(directory)
    return times


def own_restart(command, socket, files, prepare):
    prepare(files)
    Path(socket).unlink(missing_ok=True)
    begin = time.perf_counter()
    with plain(command):
        client = RedisClient.connect_within(socket, 60, poll=0.0005)
        value = client.command("GET", "key:7")
        seconds = time.perf_counter() - begin
        client.close()
    if value != data_set.value_of(7, 1):
        raise RuntimeError("redis-server's reply after its own restart differs from what was stored")
    return seconds * 1000


def lose(group):
    """SIGKILL to the engine and to the group, whose init takes all of it along."""
    pids = [group.engine_pid(), init_of(group.root_pid())]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    await_true(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the group is gone", pause=0.005)


def perdure_restarts(bench, repetitions):
    socket = str(bench.directory / "restart.sock")
    times = {}
    with bench.group(redis_command(socket, bench.directory), OPTIONS) as group:
        group.socket = socket
        group.resume(EVERY)
        load(socket).close()
        group.pause()
        group.checkpoint()
        for name, prepare in CACHES.items():
            times[name] = []
            for _ in range(repetitions):
                lose(group)
                prepare([file for file in group.store_files() if file.name.startswith("segment-")])
                times[name].append(first_reply(group) * 1000)
    return times


def redis_restart(bench):
    """A server of 500 MB is killed and comes back."""
    need("redis-benchmark")
    repetitions = min(3, bench.repetitions)
    own, ours = own_restarts(bench, repetitions), perdure_restarts(bench, repetitions)
    rows = []
    for name in CACHES:
        rows += [Row(f"redis {MEGABYTES} MB after SIGKILL, {name}: restore to first reply", ours[name], "ms"),
                 Row("  redis-server from its append-only file", own[name], "ms"),
                 Row("  restore : redis-server", [ours[name][at] / own[name][at] for at in range(repetitions)], "x", 1.0)]
    return rows


SCENARIOS = {"redis_restart": redis_restart}
