"""Inputs that must fail well: each gives one clear message (what, where, why, what to do) and a non-zero exit, and changes
neither the program nor the store. The tables errors_*.py hold the cases: errors_TABLE.py CASE runs case_CASE.
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from harness import Failure, Perdure, Skip, Workspace, alive, await_true, run_test  # noqa: E402
from observe import at_rest, checksums, difference, observe  # noqa: E402

LINES_MAX = 3  # a message is one line; a remedy may follow


class Scene:
    """One case: a workspace, the command, and programs in it."""

    def __init__(self, workspace):
        self.workspace = workspace
        self.perdure = Perdure(workspace)
        self.processes = []

    def start(self, *command, **options):
        process = subprocess.Popen(command, env=self.workspace.environment(), stdin=subprocess.DEVNULL,
                                   stdout=options.pop("stdout", subprocess.DEVNULL), stderr=subprocess.DEVNULL,
                                   start_new_session=True, **options)
        self.workspace.adopt(process.pid)
        self.processes.append(process)
        return process

    def sleeper(self):
        process = self.start("/bin/sleep", "1000")
        await_true(lambda: os.readlink(f"/proc/{process.pid}/exe").endswith("sleep") and waits(process.pid), "sleep sleeps")
        return process.pid

    def group(self, *command):
        """A group that runs; the pid, in our namespace, of its first process."""
        before = set(self.workspace.pids())
        self.perdure.run(*(command or ("/bin/sleep", "1000")))
        name = os.path.basename((command or ("sleep",))[0])

        def started():
            for pid in self.workspace.pids():
                if pid not in before and os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith(name):
                    return pid
            return None
        return await_true(started, f"{name} runs")

    def refuse(self, arguments, words, pid=None, store_may_change=False, **environment):
        """The command fails with one message that has all words; program and store stay as they were."""
        program = at_rest(pid) if pid else None
        store = checksums(self.workspace.store)
        result = self.perdure.call(*arguments, expect_success=False, **environment)
        text = result.stderr
        title = f"perdure {' '.join(map(str, arguments))}"
        if result.returncode == 0:
            raise Failure(f"{title} succeeded: {result.stdout}{text}")
        if result.returncode < 0:
            raise Failure(f"{title} {'did not end' if result.returncode == -1000 else 'died by a signal'}: {text}")
        missing = [word for word in words if str(word).lower() not in text.lower()]
        if missing:
            raise Failure(f"{title}: the message lacks {missing}: {text!r}")
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > LINES_MAX:
            raise Failure(f"{title}: {len(lines)} lines instead of one message: {text!r}")
        if pid:
            # The engine may just be looking at a new group, which is stopped for a moment.
            for _ in range(50):
                changes = difference(program, observe(pid))
                if not changes:
                    break
                time.sleep(0.01)
            else:
                raise Failure(f"{title} changed the program:\n{changes}")
        if not store_may_change and store != checksums(self.workspace.store):
            raise Failure(f"{title} changed the store: {store} -> {checksums(self.workspace.store)}")
        return result

    @property
    def name(self):
        return self.workspace.group

    def store(self):
        return self.perdure.store_option()

    def saved_group(self, *command):
        self.group(*command)
        self.perdure.checkpoint()
        self.perdure.kill()


def waits(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def python(code):
    return "/usr/bin/python3", "-c", code


def main(cases):
    """Runs the case that the command line names, out of a table's globals(), and exits."""
    name = sys.argv[1]

    def body():
        with Workspace(name) as workspace:
            scene = Scene(workspace)
            try:
                cases[f"case_{name}"](scene)
            except Failure as failure:
                raise Failure(f"{failure}\n" + "\n".join(scene.perdure.history[-4:])) from failure
            finally:
                scene.perdure.binary = os.environ["PERDURE_BINARY"]
                scene.perdure.remove()

    sys.exit(run_test(f"{name}", body))
