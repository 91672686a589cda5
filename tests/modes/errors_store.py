"""Stores that are corrupt, truncated, newer or full."""

import os
import subprocess

from scene import Failure, Skip, alive, await_true, main, python


def log_files(scene):
    """The files of the group's store that hold frames, largest last."""
    found = [os.path.join(where, name) for where, _, names in os.walk(scene.workspace.store) for name in names]
    return sorted((path for path in found if not path.endswith((".log", ".lock"))), key=os.path.getsize)


def case_corrupt_store(scene):
    scene.saved_group()
    path = log_files(scene)[-1]
    with open(path, "r+b") as file:  # one changed byte every 4 KiB: whatever is read, is hit
        for at in range(2048, os.path.getsize(path), 4096):
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 0xff]))
    scene.refuse(["restore", "-d", scene.name, *scene.store()], [])
    if any(os.path.realpath(f"/proc/{pid}/exe").endswith("sleep") for pid in scene.workspace.pids()):
        raise Failure("a program from a corrupt epoch runs")


def case_scrub_finds_damage(scene):
    scene.saved_group()
    if scene.perdure.call("scrub", scene.name, *scene.store()).returncode != 0:
        raise Failure("scrub complains about a good store")
    path = log_files(scene)[-1]
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    result = scene.perdure.call("scrub", scene.name, *scene.store(), expect_success=False)
    if result.returncode == 0:
        raise Failure(f"scrub did not find a flipped bit in {path}: {result.stdout}")


def case_truncated_store(scene):
    scene.saved_group()
    path = log_files(scene)[-1]
    os.truncate(path, os.path.getsize(path) // 3)
    scene.refuse(["restore", "-d", scene.name, *scene.store()], [scene.name], store_may_change=True)


def case_newer_store(scene):
    """The version number of every file is raised (docs/format says where it is); the store says so, or that it is damaged."""
    scene.saved_group()
    for path in log_files(scene):
        with open(path, "r+b") as file:
            header = bytearray(file.read(64))
            header[8] = 250
            file.seek(0)
            file.write(header)
    scene.refuse(["restore", "-d", scene.name, *scene.store()], [scene.name])


def case_store_is_a_file(scene):
    with open(scene.workspace.store, "w", encoding="utf-8") as file:
        file.write("not a folder")
    scene.refuse(["run", "-d", "--name", scene.name, *scene.store(), "--", "/bin/sleep", "5"], [scene.workspace.store])


def case_full_store(scene):
    """The disk is full: the checkpoint fails, the group runs on, earlier epochs restore."""
    os.makedirs(scene.workspace.store)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", scene.workspace.store],
                             capture_output=True, check=False)
    if mounted.returncode != 0:
        raise Skip("cannot mount a small tmpfs: " + mounted.stderr.decode().strip())
    try:
        code = ("import time, os\nblocks = []\nwhile True:\n time.sleep(0.01)\n"
                f" if os.path.exists('{scene.workspace.path('grow')}') and len(blocks) < 64:\n"
                "  blocks.append(bytearray(os.urandom(1 << 20)))\n"
                f"  if len(blocks) == 64: open('{scene.workspace.path('grown')}', 'w').close()\n")
        pid = scene.group(*python(code))
        first = scene.perdure.checkpoint()
        with open(scene.workspace.path("grow"), "w", encoding="utf-8"):
            pass
        await_true(lambda: os.path.exists(scene.workspace.path("grown")), "the program grows")
        for _ in range(2):
            scene.refuse(["checkpoint", "--wait", scene.name, *scene.store()], ["space"], store_may_change=True)
        if not alive(pid):
            raise Failure("the program ended because the store is full")
        scene.perdure.kill()
        scene.perdure.restore(epoch=first)
        scene.perdure.kill()
    finally:
        scene.workspace.end_processes()
        subprocess.run(["umount", "-l", scene.workspace.store], check=False)


main(globals())
