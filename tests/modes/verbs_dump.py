"""Epochs as core files that gdb opens."""

import json
import os
import re
import shutil
import struct
import subprocess

from scene import Failure, Skip, await_true, main

PROGRAM = os.path.join(os.path.dirname(os.environ.get("PERDURE_BINARY", "")), "..", "tests", "programs", "debugged")


def check(condition, text):
    if not condition:
        raise Failure(text)


def gdb(program, core, *commands):
    """What gdb says of a core; a warning is a failure."""
    if shutil.which("gdb") is None:
        raise Skip("gdb is not installed")
    words = ["gdb", "-nx", "-batch", "-ex", "set debuginfod enabled off", program, core]
    for command in ("info threads", "thread apply all bt", "info inferiors", *commands):
        words += ["-ex", command]
    result = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=60, check=False,
                            stdin=subprocess.DEVNULL)
    text = result.stdout + result.stderr
    check(result.returncode == 0, f"gdb ended with {result.returncode}: {text}")
    for bad in ("warning", "truncated", "cannot access memory", "corrupt stack", "can't open", "no symbol"):
        check(bad not in text.lower(), f"gdb says {bad!r}:\n{text}")
    return text


def holds_excluded(path):
    """Whether memory that the program excludes from cores is in one."""
    with open(path, "rb") as file:
        return struct.pack("<2Q", 0x5EC2E70000001000, 0x5EC2E70000001001) in file.read()


class Debugged:
    """The program of that name as a group, step by step."""

    def __init__(self, scene):
        self.scene = scene
        self.program = os.path.realpath(PROGRAM)
        if not os.access(self.program, os.X_OK):
            raise Skip("the test programs are not built")
        self.folder = scene.workspace.path("io")
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o777)
        scene.perdure.run(self.program, PERDURE_TEST_DIR=self.folder)
        self.step = 0
        self.await_ready()

    def await_ready(self):
        await_true(lambda: os.path.exists(os.path.join(self.folder, f"ready.{self.step}")), "the program rests")

    def go_on(self):
        with open(os.path.join(self.folder, f"go.{self.step}"), "w", encoding="ascii"):
            self.step += 1
        self.await_ready()

    def dump(self, *arguments):
        core = self.scene.workspace.path("core")
        text = self.scene.perdure.call("dump", "--json", "-o", core, *self.scene.store(), *arguments).stdout
        listing = json.loads(text)
        check(len(listing["cores"]) == 1 and listing["cores"][0]["path"] == core, f"dump wrote {listing}")
        return listing["cores"][0]

    def check_core(self, core, stage):
        commands = [f"print/x (unsigned long){name}" for name in
                    ("known_stage", "*(unsigned long*)heap_value", "*(unsigned long*)private_value", "*(unsigned long*)shared_value",
                     "*(unsigned long*)sparse_value", "*(unsigned long*)&initialised", "*(unsigned long*)&constant",
                     "*((unsigned long*)private_value + 1)")]
        text = gdb(self.program, core["path"], *commands)
        values = [int(value, 16) for value in re.findall(r"^\$\d+ = (0x[0-9a-f]+)", text, re.M)]
        wanted = [stage, *(stage + more for more in (100, 200, 300, 400)), 0x12345678, 0x87654321, 0]
        check(values == wanted, f"gdb finds {values} instead of {wanted}:\n{text}")
        stacks = re.split(r"^Thread (?=\d)", text, flags=re.M)[1:]
        check(len(stacks) == 3, f"gdb finds {len(stacks)} threads:\n{text}")
        for functions in (("resting", "main"), ("computing",), ("read", "reading")):
            found = [stack for stack in stacks
                     if all(re.search(rf"\b(?:\w+_)?{name}\b", stack) for name in functions)]
            check(len(found) == 1, f"{len(found)} threads are in {functions}:\n{text}")


def case_core_opens_in_gdb(scene):
    debugged = Debugged(scene)
    for _ in range(2):
        scene.perdure.checkpoint()
        debugged.go_on()
    scene.perdure.checkpoint()
    for epoch in ("newest", 1, 2):
        core = debugged.dump(scene.name, epoch)
        check(core["threads"] == 3, f"{core['threads']} threads")
        check(os.stat(core["path"]).st_mode & 0o777 == 0o600, "others may read the core")
        check(os.stat(core["path"]).st_size == core["file_bytes"] < 10**9, f"the core has {core['file_bytes']} bytes")
        check(os.stat(core["path"]).st_blocks * 512 < 16 * 2**20, "the core is not sparse")
        debugged.check_core(core, 3 if epoch == "newest" else epoch)
    scene.perdure.kill()
    core = debugged.dump(scene.name, "--back", "1ns")
    debugged.check_core(core, 2)
    check(not holds_excluded(core["path"]), "memory that the program excludes is in the core")
    check([name for name in os.listdir(scene.workspace.folder) if "part" in name] == [], "dump left a part")


def case_core_after_a_restore(scene):
    """Registers and memory as a restore made them, not as the program made them itself."""
    debugged = Debugged(scene)
    scene.perdure.checkpoint()
    scene.perdure.kill()
    scene.perdure.restore()
    scene.perdure.checkpoint()
    debugged.check_core(debugged.dump(scene.name, 2), 1)


def case_core_of_each_process(scene):
    scene.perdure.run("/bin/bash", "-c", "/bin/sleep 1000 & /bin/sleep 1001 & wait")
    await_true(lambda: len(scene.workspace.pids()) >= 5, "both children run")
    scene.perdure.checkpoint()
    core = scene.workspace.path("core")
    cores = scene.perdure.json("dump", "-o", core, scene.name, "newest", *scene.store())["cores"]
    check(len(cores) == 3 and [row["path"] for row in cores] == [f"{core}.{row['pid']}" for row in cores], f"dump wrote {cores}")
    for row in cores:
        text = gdb(row["executable"], row["path"])
        check(f"(LWP {row['pid']})" in text or f"LWP {row['pid']}" in text, f"gdb does not show {row['pid']}:\n{text}")
        check("nanosleep" in text if row["comm"] == "sleep" else "wait" in text, f"{row['comm']} is elsewhere:\n{text}")
    one = scene.perdure.json("dump", "--pid", cores[1]["pid"], "-o", core, scene.name, "newest", *scene.store())["cores"]
    check([row["path"] for row in one] == [core], f"--pid wrote {one}")


main(globals())
