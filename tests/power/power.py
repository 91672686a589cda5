"""The power of a machine is cut: power.py SCENARIO DISK [--cuts N] [--seed N].

disk    the volatile disk itself: what was synced is there after a cut, some of the rest is not
redis   a server under load, saved a hundred times a second; all of it and the disk lose power at a random moment. The newest
        durable epoch is restored, holds exactly one moment, and nothing that `checkpoint --wait` acknowledged is missing. The
        store does not grow from cut to cut.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from harness import Failure, Perdure, Skip, Workspace, alive, await_true, run_test  # noqa: E402

KEYS = 2000
VALUE = "v" * 300
PIPELINE = 32  # requests on their way at once
SLICE_MAX_S = 0.4  # between a restore and the next cut
CUT_IN_RESTORE = 0.1  # of all cuts
SPACE_SHARE_MAX = 2  # what the store takes, of what its epochs need ...
SPACE_SLACK = 192 << 20  # ... and three of the largest segments


class Disk:
    """The volatile disk, mounted; see volatile_disk.cc."""

    def __init__(self, workspace, program):
        if os.geteuid() != 0:
            raise Skip("needs root to mount")
        if not os.path.exists("/dev/fuse"):
            raise Skip("no /dev/fuse")
        self.folder = workspace.path("disk")
        os.mkdir(self.folder)
        self.process = subprocess.Popen([program, self.folder, "-f", "-s"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            await_true(self.ready, "the disk is mounted")
        except BaseException:
            self.remove()
            raise

    def ready(self):
        if self.process.poll() is not None:
            raise Skip(f"the volatile disk ended with {self.process.returncode}")
        return os.path.exists(self.path(".power"))

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def switch(self, command):
        with open(self.path(".power"), "w", encoding="ascii") as file:
            file.write(command)

    def counts(self):
        with open(self.path(".power"), encoding="ascii") as file:
            words = file.read().split()
        return {"cuts": int(words[1]), "sectors": int(words[3]), "sectors_lost": int(words[5]), "names": int(words[7]),
                "names_lost": int(words[9]), "syncs": int(words[11])}

    def remove(self):
        mnt_detach = 2
        import ctypes  # pylint: disable=import-outside-toplevel
        ctypes.CDLL(None).umount2(self.folder.encode(), mnt_detach)
        self.process.kill()
        self.process.wait()


def check(condition, text):
    if not condition:
        raise Failure(text)


def prove_disk(_, disk, options):
    """Synced files and names survive; of the others each possible part survives now and then."""
    seen = set()
    for number in range(options.cuts):
        folder = disk.path(f"round-{number}")
        os.mkdir(folder)
        sync(disk.folder)
        write(folder, "safe", b"a" * 10000)
        sync(os.path.join(folder, "safe"))
        sync(folder)
        with open(os.path.join(folder, "safe"), "r+b") as file:
            file.write(b"b" * 10000)
        write(folder, "unnamed", b"c")
        sync(os.path.join(folder, "unnamed"))
        disk.switch(f"cut {options.seed + number}")
        try:
            write(folder, "late", b"d")
            raise Failure("a disk without power takes writes")
        except OSError:
            pass
        disk.switch("on")
        with open(os.path.join(folder, "safe"), "rb") as file:
            content = file.read()
        check(len(content) == 10000, f"a synced file has {len(content)} bytes")
        check(set(content) <= set(b"ab"), f"a synced file holds {set(content)}")
        seen.add((content.count(b"a") > 0, content.count(b"b") > 0))
        seen.add(os.path.exists(os.path.join(folder, "unnamed")))
        check(not os.path.exists(os.path.join(folder, "late")), "a write without power is there")
    check(len(seen) == 5, f"the disk never loses, or never keeps: only {seen}")


def write(folder, name, data):
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


def sync(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Client:
    """A connection that writes the numbers 1, 2, 3 ... each to the key (number modulo KEYS)."""

    def __init__(self, path):
        self.path = path
        self.connection = None

    def connect(self):
        def connected():
            self.connection = socket.socket(socket.AF_UNIX)
            try:
                self.connection.connect(self.path)
                return True
            except OSError:
                self.connection.close()
                return False
        await_true(connected, "redis takes a connection")
        self.connection.settimeout(30)
        self.file = self.connection.makefile("rb")

    def close(self):
        if self.connection:
            self.file.close()
            self.connection.close()
            self.connection = None

    def send(self, commands):
        parts = []
        for words in commands:
            parts.append(f"*{len(words)}\r\n")
            parts += [f"${len(word)}\r\n{word}\r\n" for word in words]
        self.connection.sendall("".join(parts).encode())

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError
        if line[:1] != b"$":
            return line[1:-2].decode()
        if line == b"$-1\r\n":
            return None
        data = self.file.read(int(line[1:]) + 2)
        if len(data) != int(line[1:]) + 2:
            raise EOFError
        return data[:-2].decode()

    def numbers(self):
        """What each key holds; 0 if nothing."""
        self.send([("GET", f"key:{key}") for key in range(KEYS)])
        values = [self.reply() for _ in range(KEYS)]
        for key, value in enumerate(values):
            check(value is None or value.endswith(VALUE), f"key {key} holds {value!r}")
        return [0 if value is None else int(value.partition(" ")[0]) for value in values]


def newest_of(numbers):
    """The number that was written last; a Failure if the keys are not of one moment."""
    newest = max(numbers)
    for key, number in enumerate(numbers):
        # The largest number up to the newest that belongs to this key.
        expected = newest - (newest - key) % KEYS
        check(number == max(expected, 0), f"key {key} holds {number}, not {max(expected, 0)}: the newest number is {newest}")
    return newest


class Load(threading.Thread):
    """Writes on and on from the number after `newest`; acknowledged: the last one that was replied to."""

    def __init__(self, client, newest):
        super().__init__()
        self.client, self.sent, self.acknowledged = client, newest, newest
        self.ending = False
        self.failure = None

    def run(self):
        try:
            while not self.ending:
                numbers = range(self.sent + 1, self.sent + 1 + PIPELINE)
                self.sent += PIPELINE
                self.client.send([("SET", f"key:{number % KEYS}", f"{number} {VALUE}") for number in numbers])
                for number in numbers:
                    reply = self.client.reply()
                    if reply != "OK":
                        raise Failure(f"redis replies {reply!r}")
                    self.acknowledged = number
        except (EOFError, OSError):
            pass  # the power is gone
        except Failure as failure:
            self.failure = failure


class Saver(threading.Thread):
    """Asks for durable epochs now and then; remembers what the last acknowledged one must hold."""

    def __init__(self, perdure, load, generator):
        super().__init__()
        self.perdure, self.load, self.generator = perdure, load, generator
        self.ending = threading.Event()
        self.epoch, self.number = 0, 0
        self.times = 0

    def run(self):
        while not self.ending.wait(self.generator.random() * 0.15):
            number = self.load.acknowledged
            try:
                epoch = self.perdure.checkpoint(expect_success=False, timeout_s=20)
            except Failure:
                continue  # the power was cut meanwhile: nothing was promised
            if epoch is not None:
                self.epoch, self.number = epoch, number
                self.times += 1


class Power:
    def __init__(self, workspace, disk, options):
        self.workspace, self.disk = workspace, disk
        workspace.store = disk.path("store")
        self.perdure = Perdure(workspace)
        self.generator = random.Random(options.seed)
        self.client = Client(workspace.path("redis.sock"))
        self.promised_epoch, self.promised, self.sent_most = 0, 0, 0
        self.promises = 0

    def begin(self):
        if not shutil.which("redis-server"):
            raise Skip("redis-server is not installed")
        self.perdure.run("redis-server", "--port", "0", "--unixsocket", self.client.path, "--save", "", "--appendonly", "no",
                         "--dir", self.workspace.folder, extra=["--every", "10ms"])
        # Refused while redis looks at its own /proc/self/stat.
        await_true(lambda: self.perdure.checkpoint(expect_success=False) is not None, "redis is saved")
        self.client.connect()

    def run_until_cut(self, newest, seed):
        load = Load(self.client, newest)
        saver = Saver(self.perdure, load, random.Random(seed))
        load.start()
        saver.start()
        time.sleep(self.generator.random() * SLICE_MAX_S)
        self.disk.switch(f"cut {seed}")
        self.check_unharmed(load)
        self.lose_all()
        load.ending = True
        saver.ending.set()
        load.join()
        saver.join()
        self.client.close()
        if load.failure:
            raise load.failure
        self.sent_most = load.sent
        self.promises += saver.times
        if saver.epoch:
            self.promised_epoch, self.promised = saver.epoch, saver.number

    def check_unharmed(self, load):
        """A dead disk is no reason for the program to stop."""
        before = load.acknowledged
        await_true(lambda: load.acknowledged > before + PIPELINE or load.failure or not load.is_alive(),
                   "redis replies while the disk is dead")
        check(load.is_alive(), f"redis ended with the disk: {load.failure}")

    def lose_all(self):
        doomed = set()  # who is dying has no marks any more
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in self.workspace.pids():
                if pid == self.disk.process.pid:
                    continue
                doomed.add(pid)
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
        def living():
            return [pid for pid in doomed.union(self.workspace.pids()) if alive(pid) and pid != self.disk.process.pid]

        await_true(lambda: not living(), "everything has ended")

    def check_space(self):
        """However short its lives are, the store gives back what its epochs do not need."""
        report = self.perdure.json("scrub", self.workspace.group, *self.perdure.store_option())
        needed, taken = report["bytes_checked"], self.store_bytes()
        print(f"the store takes {taken >> 20} MiB, its epochs need {needed >> 20} MiB", flush=True)
        check(taken <= SPACE_SHARE_MAX * needed + SPACE_SLACK, f"the store takes {taken} bytes, its epochs need {needed}")

    def store_bytes(self):
        folder = os.path.join(self.workspace.store, self.workspace.group)
        total = 0
        for entry in os.scandir(folder):
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                total += entry.stat().st_size
        return total

    def cut_in_restore(self, seed):
        """The power fails again, while the group comes back."""
        command = subprocess.Popen([self.perdure.binary, "restore", "-d", self.workspace.group, *self.perdure.store_option()],
                                   env=self.workspace.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(self.generator.random() * 0.15)
        self.disk.switch(f"cut {seed}")
        self.lose_all()
        command.wait()
        self.disk.switch("on")

    def restore(self):
        """The last number that is there; it is all of one moment, and no promise was broken."""
        self.perdure.restore()
        period_ns = self.perdure.group_row()["periodic"]["period_ns"]
        check(period_ns == 10_000_000, f"after the cut the group is saved every {period_ns} ns, not as it was asked for")
        newest_epoch = max(row["epoch"] for row in self.perdure.json("log", self.workspace.group, *self.perdure.store_option()))
        check(newest_epoch >= self.promised_epoch, f"epoch {self.promised_epoch} was acknowledged, now {newest_epoch} is the newest")
        self.client.connect()
        newest = newest_of(self.client.numbers())
        check(newest >= self.promised, f"number {self.promised} was in an acknowledged epoch, now {newest} is the newest")
        check(newest <= self.sent_most, f"number {newest} is there, only {self.sent_most} were sent")
        return newest


def prove_redis(workspace, disk, options):
    power = Power(workspace, disk, options)
    try:
        power.begin()
        newest, progress = 0, 0
        for number in range(options.cuts):
            seed = options.seed * 100_000 + number * 2
            power.run_until_cut(newest, seed)
            disk.switch("on")
            if power.generator.random() < CUT_IN_RESTORE:
                power.cut_in_restore(seed + 1)
            before, newest = newest, power.restore()
            progress += newest - before > 0
            print(f"cut {number + 1}: {newest} of {power.sent_most} numbers are back, {power.promised} were promised; "
                  f"the store takes {power.store_bytes() >> 20} MiB", flush=True)
        power.check_space()
        counts = disk.counts()
        print(f"{counts}, {power.promises} epochs acknowledged on request", flush=True)
        check(counts["sectors_lost"] > 0, "the disk has lost nothing: nothing was proved")
        check(progress > 0, "no epoch became durable between two cuts: nothing was proved")
    except Failure as failure:
        shown = "\n".join(power.perdure.history[-4:])
        raise Failure(f"{failure}\n{shown}\n{power.perdure.engine_log()[-2000:]}") from failure
    finally:
        power.client.close()


SCENARIOS = {"disk": prove_disk, "redis": prove_redis}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("disk")
    parser.add_argument("--cuts", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing stays mounted

    def body():
        with Workspace("power") as workspace:
            disk = Disk(workspace, os.path.realpath(options.disk))
            try:
                SCENARIOS[options.scenario](workspace, disk, options)
            finally:
                workspace.end_processes()
                disk.remove()

    return run_test(f"power ({options.scenario})", body)


if __name__ == "__main__":
    sys.exit(main())
