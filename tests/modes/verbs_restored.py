"""Epochs after a restore: they hold only what has changed since, and all of it."""

import hashlib
import json
import os

from scene import Failure, await_true, main, python

PAGE = 4096
PAGES = 12_000

# The same on both sides: what memory holds after so many steps. A step writes some pages, drops some, and writes others
# with what they hold already.
MODEL = f"""
import mmap
PAGE, PAGES = {PAGE}, {PAGES}
def stamp(page, step):
    return (page * 1_000_003 + step * 7919).to_bytes(8, "little")
def begin():
    memory = mmap.mmap(-1, PAGES * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(PAGES):
        memory[page * PAGE:page * PAGE + 8] = stamp(page, 0)
        memory[page * PAGE + PAGE - 8:(page + 1) * PAGE] = stamp(page, 0)
    return memory
def take_step(memory, step):
    for page in range(step % 7, PAGES, 300):
        memory[page * PAGE:page * PAGE + 8] = stamp(page, step)
    memory.madvise(mmap.MADV_DONTNEED, (100 + 50 * step) * PAGE, 20 * PAGE)
    for page in range(5000, 6000):
        memory[page * PAGE] = memory[page * PAGE]
"""

HOLDER = MODEL + """
import hashlib, os, time
where = os.environ["PERDURE_HOLDER"]
def tell(name, text):
    with open(where + "/new", "w") as file:
        file.write(text)
    os.rename(where + "/new", where + "/" + name)
memory, step = begin(), 0
tell("ready", "")
while True:
    time.sleep(0.002)
    if os.path.exists(where + "/step"):
        step += 1
        take_step(memory, step)
        os.remove(where + "/step")
    for what in ("refuse", "accept"):  # a file that cannot be saved
        if os.path.exists(where + "/" + what):
            refused = open("/proc/self/stat") if what == "refuse" else None
            os.remove(where + "/" + what)
    if os.path.exists(where + "/look"):
        os.remove(where + "/look")
        tell("seen", f"{step} {hashlib.sha256(memory).hexdigest()}")
"""

# Told to, it forks a child that lives on, with memory that is changed in both.
FORKER = MODEL + """
import os, signal, time
where = os.environ["PERDURE_HOLDER"]
memory, step, children = begin(), 0, 0
def right(copy):
    expected = begin()
    for each in range(1, step + 1):
        take_step(expected, each)
    if copy:
        expected[0:1] = b"c"
    return expected[:] == memory[:]
open(where + "/ready", "w").close()
child = 0
while True:
    time.sleep(0.002)
    if os.path.exists(where + "/fork"):
        step += 1
        take_step(memory, step)
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        ends = os.pipe()
        child = os.fork()
        if child == 0:
            memory[0:1] = b"c"
            os.write(ends[1], b"ready")
            while not os.path.exists(where + "/look"):
                time.sleep(0.002)
            os._exit(0 if right(True) else 1)
        os.read(ends[0], 5)
        os.close(ends[0])
        os.close(ends[1])
        os.remove(where + "/fork")
    if os.path.exists(where + "/look"):
        fine = right(False) and os.waitpid(child, 0)[1] == 0
        with open(where + "/new", "w") as file:
            file.write("right" if fine else "wrong")
        os.rename(where + "/new", where + "/seen")
        os.remove(where + "/look")
"""


def check(condition, text):
    if not condition:
        raise Failure(text)


class Holder:
    def __init__(self, scene):
        self.scene = scene
        self.folder = scene.workspace.path("holder")
        os.mkdir(self.folder)
        self.model = {}
        exec(MODEL, self.model)  # pylint: disable=exec-used
        self.memory, self.steps = self.model["begin"](), 0
        scene.perdure.run(*python(HOLDER), PERDURE_HOLDER=self.folder)
        await_true(lambda: os.path.exists(self.folder + "/ready"), "the holder is ready")

    def ask(self, what):
        with open(f"{self.folder}/{what}", "w", encoding="ascii"):
            pass
        await_true(lambda: not os.path.exists(f"{self.folder}/{what}"), f"the holder has done its {what}")

    def step(self):
        self.ask("step")
        self.steps += 1
        self.model["take_step"](self.memory, self.steps)

    def look(self):
        """Every byte is as the model says."""
        self.ask("look")
        path = self.folder + "/seen"
        await_true(lambda: os.path.exists(path), "the holder tells what it has seen")
        with open(path, encoding="ascii") as file:
            seen = file.read()
        os.remove(path)
        expected = f"{self.steps} {hashlib.sha256(self.memory).hexdigest()}"
        check(seen == expected, f"the holder sees {seen}, not {expected}")

    def come_back(self, how, lazy=None):
        self.scene.perdure.kill()
        environment = {} if lazy is None else {"PERDURE_LAZY": lazy}
        result = self.scene.perdure.call("restore", "-d", "--json", self.scene.name, *self.scene.store(), *how, **environment)
        return json.loads(result.stdout)

    def written(self, epoch):
        rows = self.scene.perdure.json("log", self.scene.name, *self.scene.store())
        return next(row["bytes_written"] for row in rows if row["epoch"] == epoch)


def save_and_come_back(scene, how):
    holder = Holder(scene)
    first = scene.perdure.checkpoint()
    whole = holder.written(first)
    check(whole > PAGES * PAGE, f"the first epoch has only {whole} bytes")
    for _ in range(3):
        holder.come_back(how)
        holder.step()
        epoch = scene.perdure.checkpoint()
        part = holder.written(epoch)
        check(part < whole / 10, f"the first epoch after a restore has {part} bytes, the whole one {whole}")
        holder.step()
        scene.perdure.checkpoint()
        holder.look()
    holder.come_back(how)
    holder.look()


def case_restored_lazily_saves_changes(scene):
    """The first epoch after a lazy restore holds what has changed, and what was dropped stays away."""
    save_and_come_back(scene, [])


def case_restored_eagerly_saves_changes(scene):
    save_and_come_back(scene, ["--eager"])


def case_restored_older_saves_changes(scene):
    """A branch from an older epoch changes that one, not the newest."""
    holder = Holder(scene)
    first = scene.perdure.checkpoint()
    kept = holder.memory[:], holder.steps
    holder.step()
    scene.perdure.checkpoint()
    holder.memory[:], holder.steps = kept
    holder.come_back(["--epoch", str(first)])
    holder.look()
    holder.step()
    epoch = scene.perdure.checkpoint()
    check(holder.written(epoch) < holder.written(first) / 10, "the branch begins with a whole epoch")
    holder.come_back([])
    holder.look()


def case_restored_saves_changes_after_a_refusal(scene):
    """Passes of the refused epoch have compared everything; the next one compares it again."""
    holder = Holder(scene)
    whole = holder.written(scene.perdure.checkpoint())
    for how in ([], ["--eager"]):
        holder.come_back(how)
        holder.step()
        holder.ask("refuse")
        before = scene.perdure.epochs()
        scene.perdure.checkpoint(expect_success=False)
        check(scene.perdure.epochs() == before, "a refused checkpoint left an epoch")
        holder.ask("accept")
        holder.step()
        epoch = scene.perdure.checkpoint()
        check(holder.written(epoch) < whole / 10, f"epoch {epoch} is a whole one")
        holder.come_back([])
        holder.look()
        scene.perdure.checkpoint()


def case_restored_saves_while_pages_are_missing(scene):
    """Periodic epochs begin before all pages are there; each holds everything, whatever is still missing when it is lost."""
    holder = Holder(scene)
    whole = holder.written(scene.perdure.checkpoint())
    for delay_ms in (3000, 3000, 5, 0):
        holder.come_back(["--every", "10ms"], lazy=f"delay_ms={delay_ms}")
        holder.step()
        begun = scene.perdure.group_row()
        epoch = scene.perdure.checkpoint()
        after = scene.perdure.group_row()
        if delay_ms == 3000:
            check(after["lazy_pages_left"] > PAGES / 2, f"the checkpoint waited for the pages: {begun}, {after}")
            check(holder.written(epoch) < whole / 10, "a whole epoch was made while pages were missing")
        holder.step()
        scene.perdure.checkpoint()
    holder.look()
    await_true(lambda: scene.perdure.group_row()["lazy_pages_left"] == 0, "all pages are there")
    before = scene.perdure.epochs()[-1]
    await_true(lambda: scene.perdure.epochs()[-1] > before + 10, "epochs go on")
    check(holder.written(scene.perdure.epochs()[-1]) < whole / 10, "later epochs are whole ones")
    holder.come_back([])
    holder.look()


def case_restored_waits_after_a_failure(scene):
    """What failed while pages were missing is followed by a whole epoch, which takes all of them."""
    holder = Holder(scene)
    scene.perdure.checkpoint()
    scene.perdure.kill()
    scene.perdure.call("restore", "-d", "--every", "60s", scene.name, *scene.store(), PERDURE_LAZY="delay_ms=800",
                       PERDURE_FAIL_STEP="4")
    await_true(lambda: scene.perdure.group_row()["periodic"]["failures"] > 0, "the first epoch has failed")
    check(scene.perdure.group_row()["lazy_pages_left"] > 0, "pages came before the first epoch")
    check(scene.perdure.checkpoint(expect_success=False) is None, "no step failed")
    left = scene.perdure.group_row()["lazy_pages_left"]
    check(left == 0, f"{left} pages are missing after a whole epoch was tried")
    holder.step()
    holder.look()


def case_restored_forks_while_pages_are_missing(scene):
    """A fork ends that: the next epoch waits, and holds everything."""
    folder = scene.workspace.path("forker")
    os.mkdir(folder)
    scene.perdure.run(*python(FORKER), PERDURE_HOLDER=folder)
    await_true(lambda: os.path.exists(folder + "/ready"), "the forker is ready")
    scene.perdure.checkpoint()
    for number in range(2):
        scene.perdure.kill()
        scene.perdure.call("restore", "-d", scene.name, "--every", "10ms", *scene.store(), PERDURE_LAZY="delay_ms=400")
        with open(f"{folder}/fork", "w", encoding="ascii"):
            pass
        await_true(lambda: not os.path.exists(f"{folder}/fork"), "the forker has forked")
        scene.perdure.checkpoint()
        check(scene.perdure.group_row()["lazy_pages_left"] == 0, f"round {number}: an epoch did not wait")
    scene.perdure.kill()
    scene.perdure.call("restore", "-d", scene.name, *scene.store())
    with open(f"{folder}/look", "w", encoding="ascii"):
        pass
    path = folder + "/seen"
    await_true(lambda: os.path.exists(path), "the forker tells what it has seen")
    with open(path, encoding="ascii") as file:
        check(file.read() == "right", "what the forker or its child holds is wrong")


def case_restored_keeps_ids(scene):
    """Objects that live on are the same in the log: no record of the process is written anew without a change."""
    holder = Holder(scene)
    first = scene.perdure.checkpoint()
    holder.come_back([])
    second = scene.perdure.checkpoint()
    changes = scene.perdure.json("diff", *scene.store(), scene.name, str(first), str(second))["changes"]
    for change in changes:
        check(change["what"] == "changed" or "file" in change["title"], f"not the same object as before: {change}")
    holder.look()


if __name__ == "__main__":
    main(globals())
