"""Going back to epochs by number and by time, in place and beside the group that runs."""

import os
import signal
import time

from scene import Failure, await_true, main, python

# Counts SIGUSR2 and writes the count at SIGUSR1, so that a test knows what each epoch holds.
COUNTER = """
import os, signal
wanted = {signal.SIGUSR1, signal.SIGUSR2}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
count = 0
def tell():
    with open("count.new", "w") as file:
        file.write(str(count))
    os.rename("count.new", "count")
tell()
while True:
    if signal.sigwait(wanted) == signal.SIGUSR2:
        count += 1
    else:
        tell()
"""


def check(condition, text):
    if not condition:
        raise Failure(text)


class Counter:
    """A group that counts, in the workspace's folder."""

    def __init__(self, scene):
        self.scene = scene
        self.path = os.path.join(scene.workspace.folder, "count")
        self.pid = scene.group(*python(f"import os; os.chdir({scene.workspace.folder!r})" + COUNTER))
        await_true(lambda: os.path.exists(self.path), "the counter is ready")

    def processes(self):
        found = []
        for pid in self.scene.workspace.pids():
            try:
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("python3"):
                    found.append(pid)
            except OSError:
                continue
        return found

    def only(self):
        found = self.processes()
        check(len(found) == 1, f"{len(found)} counters run")
        return found[0]

    def read(self, pid):
        os.unlink(self.path)
        os.kill(pid, signal.SIGUSR1)

        def told():
            try:
                with open(self.path, encoding="ascii") as file:
                    return file.read()
            except FileNotFoundError:
                return None
        return int(await_true(told, "the counter tells its count"))

    def step(self, pid):
        before = self.read(pid)
        os.kill(pid, signal.SIGUSR2)
        await_true(lambda: self.read(pid) == before + 1, "the counter counts")

    def save_three(self):
        """Epochs 1, 2 and 3 hold the counts 1, 2 and 3; their times of capture."""
        for _ in range(3):
            self.step(self.pid)
            self.scene.perdure.checkpoint()
        return [row["captured_realtime_ns"] for row in self.scene.perdure.json("log", self.scene.name, *self.scene.store())]


def moment(realtime_ns, form="%Y-%m-%d %H:%M:%S"):
    seconds, fraction = divmod(realtime_ns, 10**9)
    return time.strftime(form, time.localtime(seconds)) + f".{fraction:09}"


def case_restore_at_a_time(scene):
    counter = Counter(scene)
    times = counter.save_three()
    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%H:%M:%S"):
        for wanted, when in ((1, times[0]), (1, times[1] - 1), (2, times[1]), (2, times[2] - 1), (3, times[2])):
            scene.perdure.kill()
            scene.perdure.restore(extra=["--at", moment(when, form)])
            found = counter.read(counter.only())
            check(found == wanted, f"--at {moment(when, form)} brought back count {found}, not {wanted}: {times}")


def case_restore_so_long_back(scene):
    counter = Counter(scene)
    times = counter.save_three()
    for wanted, back in ((3, 0), (2, 1), (2, times[2] - times[1]), (1, times[2] - times[1] + 1), (1, times[2] - times[0])):
        scene.perdure.kill()
        scene.perdure.restore(extra=["--back", f"{back}ns"])
        found = counter.read(counter.only())
        check(found == wanted, f"--back {back}ns brought back count {found}, not {wanted}: {times}")


def case_an_older_epoch_beside_the_running_group(scene):
    """The original neither stops nor changes, saves on, and the copy has a history of its own."""
    counter = Counter(scene)
    times = counter.save_three()
    counter.step(counter.pid)
    copy = f"{scene.name}-copy"
    try:
        scene.perdure.restore(extra=["--name", copy, "--at", moment(times[1])])
        others = [pid for pid in counter.processes() if pid != counter.pid]
        check(counter.pid in counter.processes() and len(others) == 1, f"{others} run beside {counter.pid}")
        counts = counter.read(others[0]), counter.read(counter.pid)
        check(counts == (2, 4), f"the copy and the original have counts {counts}")
        counter.step(others[0])
        check(scene.perdure.checkpoint() == 4, "the original does not save on")
        check(scene.perdure.checkpoint(name=copy) == 2, "the copy does not save on its own")
        scene.perdure.kill()
        scene.perdure.kill(name=copy)
        scene.perdure.restore(name=copy)
        check(counter.read(counter.only()) == 3, "the copy came back as something else")
    finally:
        scene.perdure.remove(copy)


main(globals())
