#!/usr/bin/env python3
"""The main job on a real redis-server: save, lose everything, bring it back, rewind. Started by ./demo.

A client outside the group writes through a Unix socket all the time and notes every reply. After the restore every key
is compared with what it was, and every reply that the client had before the checkpoint must still be true.
"""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from harness import data_set
from harness.perdure_command import Perdure, PerdureFailed
from harness.redis_client import ConnectionEnded, RedisClient


class DemoFailed(Exception):
    pass


def require(condition, claim):
    if not condition:
        raise DemoFailed(claim)


def say(text):
    print(text, flush=True)


class Progress:
    """One line that moves on a terminal; elsewhere one line at the end."""

    def __init__(self, what, unit):
        self._what, self._unit, self._shown = what, unit, 0.0

    def __call__(self, done, total):
        now = time.monotonic()
        last = done == total
        if sys.stdout.isatty() and (last or now - self._shown > 0.1):
            self._shown = now
            print(f"\r  {self._what}: {done:,} of {total:,} {self._unit}", end="\n" if last else "", flush=True)
        elif last:
            say(f"  {self._what}: {total:,} {self._unit}")


class Writer:
    """The client outside: appends to a journal, one entry at a time, and counts the replies it has. It reconnects."""

    def __init__(self, path):
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._lock = threading.Lock()
        self._acknowledged = 0
        self._longest_wait = 0.0
        self.connections = 0
        self.ends = 0
        self.failure = None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    @property
    def acknowledged(self):
        with self._lock:
            return self._acknowledged

    def take_longest_wait(self):
        """Seconds of the longest wait for one reply since the last call."""
        with self._lock:
            longest, self._longest_wait = self._longest_wait, 0.0
        return longest

    def wait_for_more(self, entries, seconds=10):
        goal, deadline = self.acknowledged + entries, time.monotonic() + seconds
        while self.acknowledged < goal:
            require(self.failure is None, f"the client outside failed: {self.failure}")
            require(time.monotonic() < deadline, "the client outside makes no progress")
            time.sleep(0.001)

    def _write(self):
        try:
            while not self._stop.is_set():
                with contextlib.suppress(ConnectionEnded):
                    self._write_on(RedisClient(self._path))
                    continue
                time.sleep(0.001)  # between attempts to connect
        except Exception as failure:  # shown by the main thread
            self.failure = failure

    def _write_on(self, client):
        self.connections += 1
        try:
            length = client.command("LLEN", "journal")  # go on from what the server holds
            with self._lock:
                self._acknowledged = length
            while not self._stop.is_set():
                begin = time.perf_counter()
                length = client.command("RPUSH", "journal", f"entry {length + 1}")
                waited = time.perf_counter() - begin
                with self._lock:
                    self._acknowledged = length
                    self._longest_wait = max(self._longest_wait, waited)
        except ConnectionEnded:
            self.ends += 1
            raise
        finally:
            client.close()


class Saved:
    """What the demo knows of an epoch: the version of each key, and how many journal entries it must hold."""

    def __init__(self, city, versions, acknowledged):
        self.city, self.versions, self.acknowledged = city, versions, acknowledged


class Demo:
    def __init__(self, options, directory):
        self._directory = Path(directory)
        self._socket = str(self._directory / "redis.sock")
        self._name = f"demo-{os.getpid()}"
        self._perdure = Perdure(options.perdure, str(self._directory / "store"))
        self._keys = list(range(options.megabytes * 1_000_000 // data_set.VALUE_BYTES))
        self._rows = []

    def run(self):
        say(f"A redis-server, started with: perdure run -d --name {self._name} -- redis-server ...")
        self._perdure.start(self._name, [
            "redis-server", "--port", "0", "--unixsocket", self._socket, "--save", "", "--appendonly", "no",
            "--daemonize", "no", "--dir", str(self._directory), "--logfile", "redis.log"])
        client = RedisClient.connect_within(self._socket, 10)
        data_set.fill(client, self._keys, 1, Progress("filled with 10 KiB values", "keys"))
        with Writer(self._socket) as writer:
            writer.wait_for_more(100)
            first, second = self._save_twice(client, writer)
            client.command("SET", "city", "never saved")
            client.close()
            self._lose(writer)
            self._come_back(writer, second, "newest epoch", [])
            self._lose(writer)
            self._come_back(writer, first, "epoch 1 (rewind)", ["--epoch", "1"])
            require(writer.failure is None, f"the client outside failed: {writer.failure}")
        self._print_table()

    def _save_twice(self, client, writer):
        client.command("SET", "city", "Lisbon")
        versions = dict.fromkeys(self._keys, 1)
        first = self._save(writer, 1, "Lisbon", versions)
        changed = self._keys[::10]
        data_set.fill(client, changed, 2, Progress("overwritten since then", "keys"))
        client.command("SET", "city", "Kyoto")
        second = self._save(writer, 2, "Kyoto", versions | dict.fromkeys(changed, 2))
        return first, second

    def _save(self, writer, epoch, city, versions):
        writer.take_longest_wait()
        before = writer.acknowledged
        seconds = self._perdure.checkpoint(self._name)
        row = self._perdure.epochs(self._name)[-1]
        require(row["epoch"] == epoch, f"log shows epoch {row['epoch']}, not {epoch}")
        self._rows.append((f"save epoch {epoch}", seconds, f"stopped {row['stop_us'] / 1000:.1f} ms, "
                           f"{row['bytes_written'] / 1e6:.1f} MB written"))
        say(f"  checkpoint: epoch {epoch}, city = {city}, {before:,} journal replies received before it; the client's "
            f"longest wait for a reply was {writer.take_longest_wait() * 1000:.1f} ms")
        return Saved(city, dict(versions), before)

    def _lose(self, writer):
        """SIGKILL to the engine and to every process of the group."""
        row = self._perdure.group(self._name)
        pids = [row["engine_pid"], *row["pids"]]
        ends = writer.ends
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while any(alive(pid) for pid in pids) or writer.ends == ends:
            require(time.monotonic() < deadline, f"still there after SIGKILL: {[p for p in pids if alive(p)]}")
            time.sleep(0.001)
        say(f"Lost: SIGKILL to the engine {pids[0]} and the group {' '.join(map(str, pids[1:]))}; "
            "the client's connection has ended")

    def _come_back(self, writer, saved, what, options):
        connections = writer.connections
        begin = time.perf_counter()
        seconds = self._perdure.restore(self._name, *options)
        client = RedisClient.connect_within(self._socket, 10)
        first_reply = time.perf_counter() - begin
        self._rows.append((f"restore {what}", seconds, f"first reply after {first_reply * 1000:.1f} ms"))
        city = client.command("GET", "city").decode()
        say(f"  restored the {what}: city = {city}")
        require(city == saved.city, f"city is {city}, it was {saved.city}")
        wrong = data_set.differences(client, saved.versions, Progress("compared byte for byte", "keys"))
        require(not wrong, f"{len(wrong)} keys differ, the first is key:{wrong[0] if wrong else ''}")
        self._check_journal(client, saved)
        writer.wait_for_more(100)
        require(writer.connections > connections, "the client outside did not reconnect")
        say("  the client outside has reconnected and writes on")
        client.close()

    def _check_journal(self, client, saved):
        """Later entries are the client's own business: one request may have been on its way, and is then sent again."""
        entries = client.command("LRANGE", "journal", "0", saved.acknowledged - 1)
        require(len(entries) == saved.acknowledged, f"{saved.acknowledged} replies had been received, {len(entries)} are back")
        for number, entry in enumerate(entries, 1):
            require(entry == b"entry %d" % number, f"journal entry {number} is {entry!r}")
        say(f"  all {saved.acknowledged:,} journal entries with a reply before the checkpoint are back, in order")

    def _print_table(self):
        say("\nStep                       command     and")
        for step, seconds, detail in self._rows:
            say(f"{step:<26} {seconds * 1000:6.1f} ms   {detail}")
        size = len(self._keys) * data_set.VALUE_BYTES / 1e6
        say(f"\nEvery byte of {size:.0f} MB was compared after each restore: all as it was saved.")

    def clean_up(self):
        with contextlib.suppress(Exception):
            self._perdure.run("rm", "--force", "--store", self._perdure.store, self._name)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--perdure", required=True, help="the perdure binary")
    parser.add_argument("--megabytes", type=int, default=230, help="how much data the server holds")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = tempfile.mkdtemp(prefix="perdure-demo-")
    demo = Demo(options, directory)
    try:
        demo.run()
        return 0
    except (DemoFailed, PerdureFailed, ConnectionEnded) as failure:
        print(f"demo failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        demo.clean_up()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
