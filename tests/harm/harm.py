"""Nothing that fails may harm the program: harm.py SCENARIO TARGET.

fail_step     every step of a checkpoint fails in turn (PERDURE_FAIL_STEP=n in the engine's environment)
kill_engine   the engine dies by SIGKILL at some moment of a checkpoint
kill_command  the command dies by SIGKILL at some moment of a checkpoint
The program runs natively, is attached, and is asked after each failure what it sees of itself.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from harness import Failure, Perdure, Workspace, alive, await_true, run_test  # noqa: E402

STEPS_MAX = 400  # more fault points than a checkpoint has


class Target:
    def __init__(self, workspace, program):
        self.workspace = workspace
        self.number = 0
        os.mkdir(workspace.path("io"))
        environment = workspace.environment(PERDURE_TEST_DIR=workspace.path("io"))
        self.process = subprocess.Popen([program], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        workspace.adopt(self.process.pid)
        self.await_file("ready.0")
        self.state = self.ask()

    def await_file(self, name):
        path = self.workspace.path("io", name)

        def there():
            if os.path.exists(path):
                return True
            if self.process.poll() is not None:
                raise Failure(f"the program died with status {self.process.returncode}: {self.result()}")
            if os.path.exists(self.workspace.path("io", "result")):
                raise Failure(f"the program says: {self.result()}")
            return False
        await_true(there, f"the program writes {name}")

    def result(self):
        try:
            with open(self.workspace.path("io", "result"), encoding="utf-8") as file:
                return file.read().strip()
        except FileNotFoundError:
            return "(no result)"

    def ask(self):
        with open(self.workspace.path("io", f"ask.{self.number}"), "w", encoding="utf-8"):
            pass
        self.await_file(f"state.{self.number}")
        with open(self.workspace.path("io", f"state.{self.number}"), encoding="utf-8") as file:
            state = file.read()
        self.number += 1
        return state

    def check_unharmed(self, after, attached=False):
        """Nothing has changed; but for the one page of code that an engine keeps in a program while it is attached."""
        now = [line for line in self.ask().splitlines() if not (attached and "/memfd:perdure-batch" in line)]
        before = self.state.splitlines()
        for line in now + before:
            if (line in now) != (line in before):
                raise Failure(f"after {after}: {'now' if line in now else 'lost'}: {line}")
        if now != before:
            raise Failure(f"after {after}: the order of the state differs")

    def end(self):
        with open(self.workspace.path("io", "end"), "w", encoding="utf-8"):
            pass
        if self.process.wait(timeout=30) != 0 or self.result() != "ok":
            raise Failure(f"at the end the program says: {self.result()}")


def fail_step(workspace, target):
    failures = 0
    for step in range(STEPS_MAX):
        perdure = Perdure(workspace)
        perdure.extra["PERDURE_FAIL_STEP"] = str(step)
        name = f"{workspace.group}-{step}"
        attached = perdure.call("attach", target.process.pid, "--name", name, *perdure.store_option(), "-d",
                                expect_success=False)
        if attached.returncode == 0:
            result = perdure.call("checkpoint", "--wait", name, *perdure.store_option(), expect_success=False)
            succeeded = result.returncode == 0
            if not succeeded and not result.stderr.strip():
                raise Failure(f"step {step} failed without a message")
            target.check_unharmed(f"the failure of step {step}", attached=True)
            perdure.call("detach", name, *perdure.store_option())
        else:
            succeeded = False
        target.check_unharmed(f"the failure of step {step} and a detach")
        if succeeded:
            if failures == 0:
                raise Failure("no step failed: PERDURE_FAIL_STEP has no effect")
            print(f"{failures} steps failed in turn")
            return
        failures += 1
    raise Failure(f"after {STEPS_MAX} steps a checkpoint still fails")


def engine_of(workspace, target):
    group = {target.process.pid}
    found = [pid for pid in workspace.pids() if pid not in group and parent_is_not(pid, target.process.pid)]
    return [pid for pid in found if "perdure" in os.path.basename(os.readlink(f"/proc/{pid}/exe"))]


def parent_is_not(pid, parent):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1]) != parent


def checkpoint_seconds(perdure):
    """How long a checkpoint takes here and now, so that random moments lie within one."""
    begin = time.monotonic()
    perdure.checkpoint()
    return (time.monotonic() - begin) * 1.2


def kill_engine(workspace, target):
    generator = random.Random(1)
    perdure = Perdure(workspace)
    perdure.attach(target.process.pid)
    span_s = checkpoint_seconds(perdure)
    for round_number in range(40):
        engines = engine_of(workspace, target)
        if not engines:
            raise Failure("no engine process was found")
        command = subprocess.Popen(
            [perdure.binary, "checkpoint", "--wait", workspace.group, *perdure.store_option()],
            env=workspace.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(generator.random() * span_s)
        for pid in engines:
            os.kill(pid, signal.SIGKILL)
        command.wait(timeout=20)
        await_true(lambda: not any(map(alive, engines)), "the engine has ended")
        target.check_unharmed(f"the death of the engine in round {round_number}", attached=True)
        perdure.takeover()
        target.check_unharmed(f"the takeover in round {round_number}", attached=True)
    perdure.checkpoint()
    perdure.detach()
    target.check_unharmed("the detach")


def kill_command(workspace, target):
    generator = random.Random(2)
    perdure = Perdure(workspace)
    perdure.attach(target.process.pid)
    span_s = checkpoint_seconds(perdure)
    for round_number in range(40):
        command = subprocess.Popen(
            [perdure.binary, "checkpoint", "--wait", workspace.group, *perdure.store_option()],
            env=workspace.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(generator.random() * span_s)
        command.kill()
        command.wait()
        # The engine ends what it was asked for, and only then answers the next question.
        perdure.call("ps", *perdure.store_option())
        target.check_unharmed(f"the death of the command in round {round_number}", attached=True)
    perdure.checkpoint()
    perdure.detach()
    target.check_unharmed("the detach")


def native(_, target):
    for _ in range(5):
        target.check_unharmed("nothing at all")


SCENARIOS = {"native": native, "fail_step": fail_step, "kill_engine": kill_engine, "kill_command": kill_command}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("target")
    options = parser.parse_args()

    def body():
        with Workspace("harm") as workspace:
            target = Target(workspace, options.target)
            SCENARIOS[options.scenario](workspace, target)
            target.end()

    return run_test(f"harm ({options.scenario})", body)


if __name__ == "__main__":
    sys.exit(main())
