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
    if os.path.exists(where + "/look"):
        os.remove(where + "/look")
        tell("seen", f"{step} {hashlib.sha256(memory).hexdigest()}")
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
