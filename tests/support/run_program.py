"""Runs one test program in one mode: run_program.py MODE PROGRAM [--outage MS].

In every mode the program passes its checkpoints one after the other; the mode says what happens at each of them.
"""

import argparse
import os
import signal
import subprocess
import sys
import time

from harness import Failure, Perdure, Skip, Workspace, alive, await_true, run_test

TRACKERS = {  # what must be disabled for the next best way of finding changed pages to be used
    "tracker_soft_dirty": "pagemap_scan,wp_async",
    "tracker_full": "pagemap_scan,wp_async,soft_dirty",
}
# A restore that leaves even small programs to the pager; its background reader waits, so that they meet missing pages.
LAZY = {"PERDURE_LAZY": "mapping_pages=1,space_pages=1,delay_ms=150"}
MODES = ["native", "save_and_continue", "save_kill_restore", "incremental", "restore_older", "attach", "attach_isolate",
         "detach", "takeover", "engine_lost", "restore_eager", "restore_lazy", "lazy_checkpoint", "lazy_engine_lost", "refused",
         "every", "every_guided", "every_lazy", *TRACKERS]
# Small programs are guided, and few pages held or hot, as of large ones by themselves.
GUIDED = {"PERDURE_GUIDED_PAGES_MIN": "0", "PERDURE_HELD_PAGES_MIN": "1", "PERDURE_HOT_PAGES_MAX": "64"}
EVERY = ["--every", "10ms"]  # modes every*: a hundred epochs a second from the first instruction on


class Session:
    """One program under test, and its meetings with us through files."""

    def __init__(self, workspace, options):
        self.workspace = workspace
        self.options = options
        self.mode = options.mode
        self.attached = self.mode.startswith(("attach", "detach"))
        self.perdure = None if self.mode == "native" else Perdure(workspace, TRACKERS.get(self.mode, ""))
        if self.mode == "every_guided":
            self.perdure.extra |= GUIDED
        self.next_look = 0.0
        self.process = None  # started by us rather than by perdure
        os.mkdir(workspace.path("io"))
        os.chmod(workspace.path("io"), 0o777)

    def start(self):
        environment = {"PERDURE_TEST_DIR": self.workspace.path("io"), "PERDURE_TEST_MODE": self.mode}
        if self.attached:
            environment["PERDURE_TEST_SLACK_MS"] = "20000"  # clocks do not continue in a shared namespace
        if self.perdure and not self.attached:
            self.perdure.run(self.options.program, extra=EVERY if self.mode.startswith("every") else (), **environment)
            return
        self.process = subprocess.Popen(
            [self.options.program], env=self.workspace.environment(**environment), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.workspace.adopt(self.process.pid)
        if self.attached:
            self.meet("ready.0")
            self.perdure.attach(self.process.pid)

    def file(self, name):
        return self.workspace.path("io", name)

    def result(self):
        try:
            with open(self.file("result"), encoding="utf-8", errors="replace") as file:
                return file.read().strip()
        except FileNotFoundError:
            return None

    def meet(self, name):
        """Waits until the program is at a checkpoint (True) or has ended with a result (False)."""
        def arrived():
            if os.path.exists(self.file(name)):
                return "here"
            if self.result() is not None:
                return "ended"
            if self.process and not self.perdure and self.process.poll() is not None and self.result() is None:
                raise Failure(f"the program ended without a result, status {self.process.returncode}")
            if self.perdure and time.monotonic() > self.next_look:
                self.next_look = time.monotonic() + 0.5
                if not any(map(alive, self.workspace.pids())) and self.result() is None:
                    raise Failure("the program has ended without a result")
            return None
        try:
            return await_true(arrived, f"the program reaches {name} or writes a result") == "here"
        except Failure as failure:
            raise Failure(f"{failure}\n{self.describe_processes()}") from None

    def describe_processes(self):
        lines = ["processes of the test:"]
        for pid in self.workspace.pids():
            try:
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm, \
                        open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
                    state = [line for line in status if line.startswith(("State", "NSpid", "TracerPid"))]
                    lines.append(f"  {pid} {comm.read().strip()}: {' '.join(' '.join(s.split()) for s in state)}")
            except OSError:
                continue
        return "\n".join(lines)

    def stop_all(self):
        """Nobody shall see the others die, as nobody would in a power cut."""
        for pid in self.workspace.pids():
            if executable(pid) == self.options.program:
                os.kill(pid, signal.SIGSTOP)

    def lose(self):
        """Everything of the group is gone, suddenly."""
        if self.process:
            self.stop_all()
        self.perdure.kill()
        if self.process:
            self.process.wait(timeout=10)
            self.process = None
        if self.options.outage:
            time.sleep(self.options.outage / 1000)

    def lose_with_engine(self):
        """The group and its engine end by SIGKILL, as in a power cut: nobody gets to say good-bye, or sees another one end."""
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in self.workspace.pids():
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
        await_true(lambda: not any(map(alive, self.workspace.pids())), "everything has ended")
        if self.options.outage:
            time.sleep(self.options.outage / 1000)

    def kill_engine(self):
        # Of one look: a child that the program forks between two would be taken for an engine.
        pids = self.workspace.pids()
        group = {pid for pid in pids if executable(pid) in (self.options.program, None)}
        engines = [pid for pid in pids if pid not in group and not is_init(pid)]
        if not engines:
            raise Failure("no engine process was found")
        for pid in engines:
            os.kill(pid, signal.SIGKILL)
        await_true(lambda: not any(map(alive, engines)), "the engine has ended")

    def check_refusal(self):
        """A program that cannot be saved: refused by name, nothing stored; it shows itself that it runs on as before."""
        for _ in range(2):
            result = self.perdure.call("checkpoint", "--wait", self.workspace.group, *self.perdure.store_option(),
                                       expect_success=False)
            if result.returncode == 0:
                raise Failure("the checkpoint succeeded: if this kind is supported by now, say so in the program")
            name = os.path.basename(self.options.program)[:15]
            for word in ("cannot be saved", "pid ", name):
                if word not in result.stderr:
                    raise Failure(f"the refusal lacks {word!r}: {result.stderr}")
        if self.perdure.epochs():
            raise Failure("a refused checkpoint left an epoch")

    def at_checkpoint(self, number):
        perdure, mode = self.perdure, self.mode
        if mode == "native":
            return
        if mode == "refused":
            self.check_refusal()
            return
        if mode.startswith("every"):
            perdure.await_epoch_after(time.time_ns())
            self.lose_with_engine() if number % 2 == 0 else self.lose()
            perdure.restore(**(LAZY if mode == "every_lazy" else {}))
            if mode == "every_lazy":  # epochs are made while pages are missing, and lost in the midst of them
                for _ in range(2):
                    perdure.await_epoch_after(time.time_ns())
                    self.lose()
                    perdure.restore(**LAZY)
            return
        first = perdure.checkpoint()
        if mode == "save_and_continue":
            return
        if mode == "detach":
            if number == 0:
                perdure.detach()
            self.perdure = None
            self.mode = "native"
            return
        if mode == "takeover":
            self.kill_engine()
            perdure.takeover()
            perdure.checkpoint()
        if mode == "incremental" or mode.startswith("tracker"):
            time.sleep(0.01)
            perdure.checkpoint()
            time.sleep(0.01)
            perdure.checkpoint()
        if mode == "restore_older":
            time.sleep(0.01)
            perdure.checkpoint()
        self.lose_with_engine() if mode == "engine_lost" else self.lose()
        extra = {"attach_isolate": ["--isolate"], "restore_eager": ["--eager"]}.get(mode, [])
        lazily = LAZY if "lazy" in mode else {}
        perdure.restore(epoch=first if mode == "restore_older" else None, extra=extra, **lazily)
        if mode == "lazy_checkpoint":  # pages are missing still
            perdure.checkpoint()
            self.lose()
            perdure.restore(**lazily)
        if mode == "lazy_engine_lost":
            self.kill_engine()
            perdure.takeover()

    def go(self):
        self.start()
        number = 0
        while self.meet(f"ready.{number}"):
            self.at_checkpoint(number)
            with open(self.file(f"go.{number}"), "w", encoding="utf-8"):
                pass
            number += 1
        result = self.result()
        if result != "ok":
            raise Failure(f"the program says: {result}")
        if number == 0:
            raise Failure("the program never reached a checkpoint")
        if self.process and self.mode == "native" and self.process.wait(timeout=10) != 0:
            raise Failure(f"the program ended with status {self.process.returncode}")


def executable(pid):
    """The path of a process's executable; None if it has ended, or is no program of its own any more."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def is_init(pid):
    """Whether a process is PID 1 of a namespace of its own."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            numbers = next(line for line in file if line.startswith("NSpid:")).split()[1:]
        return len(numbers) > 1 and numbers[-1] == "1"
    except (OSError, StopIteration):
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("program")
    parser.add_argument("--outage", type=int, default=0, help="milliseconds between loss and restore")
    parser.add_argument("--refusable", action="store_true", help="a refusal that names the descriptor is right as well")
    parser.add_argument("--root", action="store_true", help="the program needs to be root")
    options = parser.parse_args()
    options.program = os.path.realpath(options.program)
    name = os.path.basename(options.program)

    def body():
        if options.root and os.geteuid() != 0:
            raise Skip("needs root")
        with Workspace(name) as workspace:
            session = Session(workspace, options)
            try:
                session.go()
            except Failure as failure:
                perdure = session.perdure
                if options.refusable and "cannot be saved" in str(failure):
                    raise Skip(f"refused, as documented: {failure}") from failure
                shown = "\n".join(perdure.history[-6:]) if perdure else ""
                said = session.result()
                if said and said not in str(failure):
                    shown = f"the program says: {said}\n{shown}"
                raise Failure(f"{failure}\n{shown}".rstrip()) from failure
            finally:
                if session.perdure:
                    session.perdure.remove()

    return run_test(f"{name} ({options.mode})", body)


if __name__ == "__main__":
    sys.exit(main())
