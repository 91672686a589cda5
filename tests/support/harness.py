"""What all tests that drive the perdure command share: a workspace that leaves nothing behind, and the command itself.

Everything a test starts carries its own mark in the environment (PERDURE_TEST_MARK), so that the clean-up can end exactly
those processes, wherever they ended up. Each test has its own folder, store and group names: tests may run in parallel.
"""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

DEADLINE_S = 30.0  # how long anything may take before a test gives up
POLL_S = 0.002


class Failure(Exception):
    """A test failed; the text says what is wrong."""


class Skip(Exception):
    """A test cannot run here; the text names what is missing."""


SKIPPED = 77  # the exit code that CTest is told about


def await_true(condition, what, deadline_s=DEADLINE_S, poll_s=POLL_S):
    """Waits until condition() is true and returns its value; a Failure names what, or what() then, did not happen."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"after {deadline_s:.0f} s still not: {what() if callable(what) else what}")
        time.sleep(poll_s)


def alive(pid):
    """Whether any thread of a process runs (zombies do not): a dying one holds its files until its last thread has ended."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(thread_runs(pid, thread) for thread in threads)


def thread_runs(pid, tid):
    try:
        with open(f"/proc/{pid}/task/{tid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def adopt_orphans():
    """Makes this process the parent of what its children leave behind, so that it can let them go: not every init does."""
    pr_set_child_subreaper = 36
    if ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0) != 0:
        raise Skip("cannot adopt orphans")


def reap_orphans(but=()):
    """Lets the dead go, except those that somebody still waits for."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) in but:
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
            if state == "Z" and int(parent) == os.getpid():
                os.waitpid(int(entry), os.WNOHANG)
        except (OSError, ValueError):
            continue


class Workspace:
    """A folder of its own, and the promise that nothing outlives the test."""

    def __init__(self, name):
        safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
        self.folder = tempfile.mkdtemp(prefix="perdure-test-")
        os.chmod(self.folder, 0o777)
        self.mark = os.path.basename(self.folder)
        self.group = f"t-{safe[:24]}-{self.mark[-6:]}"
        self.store = os.path.join(self.folder, "store")
        self.adopted = set()
        self.awaited = set()  # children that a test waits for itself
        self.keep = bool(os.environ.get("PERDURE_TEST_KEEP"))

    def __enter__(self):
        adopt_orphans()
        return self

    def __exit__(self, kind, error, trace):
        self.end_processes()
        if self.keep:
            print(f"kept: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def environment(self, **more):
        result = dict(os.environ, PERDURE_TEST_MARK=self.mark, PERDURE_RUNTIME_DIR=self.path("runtime"))
        for name in ("PERDURE_DISABLE", "PERDURE_FAIL_STEP"):
            result.pop(name, None)
        result.update(more)
        return result

    def adopt(self, pid):
        """Counts a child as ours even if it overwrites its environment, as nginx does; the test waits for it."""
        self.adopted.add(pid)
        self.awaited.add(pid)

    def pids(self):
        """Processes that this test started, directly or not: marked, adopted, or below one of those."""
        wanted = f"PERDURE_TEST_MARK={self.mark}".encode()
        parents, found = {}, {pid for pid in self.adopted if alive(pid)}
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    parents[int(entry)] = int(file.read().rpartition(")")[2].split()[1])
                with open(f"/proc/{entry}/environ", "rb") as file, open(f"/proc/{entry}/cmdline", "rb") as command:
                    # The engine overwrites its environment with its title, which has the group's name.
                    title = command.read()
                    is_engine = title.startswith(b"perdure-engine") and self.group.encode() in title
                    if wanted in file.read().split(b"\0") or is_engine:
                        found.add(int(entry))
            except OSError:
                continue
        grown = True
        while grown:
            grown = {pid for pid, parent in parents.items() if parent in found and pid not in found}
            found |= grown
        return sorted(found)

    def end_processes(self):
        for _ in range(50):
            pids = [pid for pid in self.pids() if alive(pid)]
            if not pids:
                return
            self.adopted.update(pids)  # their children may lose the way to us when they die
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)
            reap_orphans(but=self.awaited)


class Perdure:
    """The command line, for one workspace. Every call is remembered, so that a failure can show what was done."""

    def __init__(self, workspace, disable=""):
        self.binary = os.environ.get("PERDURE_BINARY", "")
        if not self.binary or not os.access(self.binary, os.X_OK):
            raise Skip("PERDURE_BINARY names no executable")
        self.workspace = workspace
        self.extra = {"PERDURE_DISABLE": disable} if disable else {}
        self.history = []

    def call(self, *arguments, expect_success=True, timeout_s=DEADLINE_S, **environment):
        """Runs a verb to its end; returns the CompletedProcess with text output."""
        command = [self.binary, *map(str, arguments)]
        env = self.workspace.environment(**{**self.extra, **environment})
        result = self.run_to_end(command, env, timeout_s, reaps=arguments[0] == "restore")
        code = result.returncode
        self.history.append(f"$ perdure {' '.join(map(str, arguments))}   -> {code}\n{result.stdout}{result.stderr}")
        if expect_success and code != 0:
            why = "did not end" if code == -1000 else f"ended with {code}"
            raise Failure(f"perdure {arguments[0]} {why}: {(result.stderr or result.stdout).strip()}")
        return result

    def run_to_end(self, command, env, timeout_s, reaps):
        """reaps: what a killed group leaves may die while the command waits for its pids to be free."""
        # A group in the background keeps none of these pipes, so that they end with the command.
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              errors="replace", env=env) as process:
            until = time.monotonic() + timeout_s
            while True:
                left_s = until - time.monotonic()
                try:
                    output = process.communicate(timeout=max(0, min(left_s, 0.1) if reaps else left_s))
                    return subprocess.CompletedProcess(command, process.returncode, *output)
                except subprocess.TimeoutExpired as late:
                    if left_s <= 0:
                        process.kill()
                        return subprocess.CompletedProcess(command, -1000, text_of(late.stdout), text_of(late.stderr))
                    reap_orphans(but=self.workspace.awaited | {process.pid})

    def json(self, *arguments):
        text = self.call(*arguments, "--json").stdout
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise Failure(f"perdure {arguments[0]} --json printed no JSON ({error}): {text[:200]!r}") from error

    def store_option(self):
        return ["--store", self.workspace.store]

    def run(self, *command, name=None, extra=(), **environment):
        return self.call("run", "-d", "--name", name or self.workspace.group, *self.store_option(), *extra, "--", *command,
                         **environment)

    def group_row(self, name=None):
        """What ps says about the group."""
        name = name or self.workspace.group
        for row in self.json("ps", *self.store_option()):
            if row["name"] == name:
                return row
        raise Failure(f"ps does not list {name}")

    def engine_log(self, name=None):
        try:
            with open(os.path.join(self.workspace.store, name or self.workspace.group, "engine.log"), encoding="utf-8",
                      errors="replace") as file:
                return file.read()
        except OSError as error:
            return f"(no log: {error})"

    def await_epoch_after(self, realtime_ns, name=None):
        """Waits until an epoch that was captured after a moment is durable, made periodically; returns its number."""
        def saved():
            row = self.group_row(name)
            if (row["newest_captured_realtime_ns"] or 0) > realtime_ns:
                return row["newest_epoch"]
            return None
        try:
            return await_true(saved, "an epoch is durable", poll_s=0.02)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.engine_log(name)[-2000:]}") from None

    def attach(self, pid, name=None):
        return self.call("attach", "-d", pid, "--name", name or self.workspace.group, *self.store_option())

    def takeover(self, name=None):
        return self.call("attach", "-d", name or self.workspace.group, *self.store_option())

    def detach(self, name=None):
        return self.call("detach", name or self.workspace.group, *self.store_option())

    def checkpoint(self, name=None, **options):
        """Saves, durably; returns the number of the new epoch."""
        result = self.call("checkpoint", "--wait", name or self.workspace.group, *self.store_option(), **options)
        if result.returncode != 0:
            return None
        found = re.search(r"epoch[^0-9]{0,3}(\d+)", result.stdout + result.stderr)
        return int(found.group(1)) if found else self.epochs(name)[-1]

    def epochs(self, name=None):
        """The numbers of all epochs, oldest first."""
        listing = self.json("log", name or self.workspace.group, *self.store_option())
        rows = listing if isinstance(listing, list) else listing.get("epochs", [])
        return sorted(row["epoch"] if "epoch" in row else row["number"] for row in rows)

    def kill(self, name=None, **options):
        result = self.call("kill", name or self.workspace.group, *self.store_option(), **options)
        # What died last may come to us a moment later; unwaited for it keeps its number, or its session's.
        for _ in range(3):
            reap_orphans(but=self.workspace.awaited)
            time.sleep(0.01)
        return result

    def restore(self, name=None, epoch=None, extra=(), **options):
        arguments = ["restore", "-d", name or self.workspace.group, *self.store_option(), *extra]
        if epoch is not None:
            arguments += ["--epoch", epoch]
        reap_orphans(but=self.workspace.awaited)
        return self.call(*arguments, **options)

    def remove(self, name=None):
        """For clean-up: never fails."""
        for verb in ("kill",) if self.workspace.keep else ("kill", "rm"):
            self.call(verb, name or self.workspace.group, *self.store_option(), expect_success=False, timeout_s=10)


def text_of(output):
    return (output or b"").decode(errors="replace") if not isinstance(output, str) else output


def run_test(title, body):
    """Runs body(); prints nothing if all is well, else what is wrong and how to run it again. Returns an exit code."""
    replay = " ".join(f"{name}={os.environ[name]}" for name in ("PERDURE_BINARY",) if name in os.environ)
    try:
        body()
    except Skip as skip:
        print(f"{title}: skipped: {skip}")
        return SKIPPED
    except Failure as failure:
        print(f"{title}: {failure}\nto replay: {replay} {sys.executable} {' '.join(sys.argv)}")
        return 1
    return 0
