"""The same two programs with CRIU, if it is installed and works on this kernel."""

import contextlib
import os
import shutil
import signal
import subprocess
import time

from harness.redis_client import ConnectionEnded, RedisClient
from measure import Row, spawn_and_wait
from scenarios import REDIS_RESIDENT_MB, fill_to


def compare(bench):
    criu = shutil.which("criu")
    if criu is None:
        return [], "criu is not installed: no comparison in this run"
    try:
        return _sleep(bench, criu) + _redis(bench, criu), ""
    except (RuntimeError, OSError, ConnectionEnded) as failure:
        return [], f"criu cannot do it here: {reason(str(failure))}"


def reason(said):
    """The last of the errors that criu prints is what it gave up for."""
    lines = said.strip().splitlines()
    return next((line for line in reversed(lines) if line.startswith("Error")), lines[0])


def _cycle(bench, criu, pid):
    """Milliseconds of a dump that kills, and of a restore."""
    images = bench.directory / "criu"
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir()
    common = ["--images-dir", str(images), "--shell-job", "--ext-unix-sk"]
    dump, _ = spawn_and_wait([criu, "dump", "--tree", str(pid), *common], bench.directory)
    restore, _ = spawn_and_wait([criu, "restore", "--restore-detached", *common], bench.directory)
    return dump * 1000, restore * 1000


@contextlib.contextmanager
def _process(command):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    try:
        yield process.pid
    finally:
        # CRIU brings it back under its old pid, as a child of init rather than ours.
        process.poll()
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait()


def _sleep(bench, criu):
    pairs = []
    for _ in range(bench.repetitions):
        with _process(["sleep", "3600"]) as pid:
            time.sleep(0.05)  # past exec
            pairs.append(_cycle(bench, criu, pid))
    return [Row("criu: sleep, dump (not durable)", [p[0] for p in pairs], "ms"),
            Row("criu: sleep, restore", [p[1] for p in pairs], "ms")]


def _redis(bench, criu):
    pairs = []
    socket = str(bench.directory / "criu-redis.sock")
    command = ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", str(bench.directory)]
    for _ in range(bench.repetitions):
        with _process(command) as pid:
            client = RedisClient.connect_within(socket, 10)
            fill_to(client, REDIS_RESIDENT_MB * 1_000_000)
            client.close()
            pairs.append(_cycle(bench, criu, pid))
    return [Row("criu: redis 230 MB, dump (not durable)", [p[0] for p in pairs], "ms"),
            Row("criu: redis 230 MB, restore", [p[1] for p in pairs], "ms")]
