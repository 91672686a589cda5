"""Stores that are corrupt, truncated, newer or full."""

import os
import subprocess

from scene import Failure, Skip, alive, await_true, main, python

BLOCK = 4096
FIRST_FRAME = 4  # blocks; docs/format/store.md


def segments(scene):
    """The files of the group's store that hold frames, oldest first."""
    found = [os.path.join(where, name) for where, _, names in os.walk(scene.workspace.store) for name in names]
    return sorted(path for path in found if os.path.basename(path).startswith("segment-"))


def used_blocks(path):
    """The numbers of a segment's blocks that hold anything, behind its header."""
    with open(path, "rb") as file:
        content = file.read()
    return [at // BLOCK for at in range(FIRST_FRAME * BLOCK, len(content), BLOCK) if any(content[at:at + BLOCK])]


def flip(path, position, bits=1):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)
        file.seek(position)
        file.write(bytes([byte[0] ^ bits]))


def program_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except (FileNotFoundError, ProcessLookupError):
        return ""  # has ended since it was listed


def case_corrupt_store(scene):
    scene.saved_group()
    for path in segments(scene):
        for block in used_blocks(path):
            flip(path, block * BLOCK + 20, 0xff)  # headers, tables and pages alike
    scene.refuse(["restore", "-d", scene.name, *scene.store()], [scene.name])
    if any(program_of(pid).endswith("sleep") for pid in scene.workspace.pids()):
        raise Failure("a program from a corrupt epoch runs")


def case_scrub_finds_damage(scene):
    """One flipped bit anywhere in what is stored is found, wherever it is."""
    scene.saved_group()
    scene.perdure.call("scrub", scene.name, *scene.store())
    path = segments(scene)[-1]
    blocks = used_blocks(path)
    for block in blocks[::max(1, len(blocks) // 12)]:
        flip(path, block * BLOCK + 7)
        result = scene.perdure.call("scrub", scene.name, *scene.store(), expect_success=False)
        if result.returncode == 0:
            raise Failure(f"scrub did not find a flipped bit in block {block} of {path}: {result.stdout}")
        flip(path, block * BLOCK + 7)
    scene.perdure.call("scrub", scene.name, *scene.store())
    scene.perdure.restore()


def case_truncated_store(scene):
    scene.saved_group()
    path = segments(scene)[-1]
    blocks = used_blocks(path)
    os.truncate(path, blocks[len(blocks) // 3] * BLOCK)
    scene.refuse(["restore", "-d", scene.name, *scene.store()], [scene.name], store_may_change=True)


def case_empty_segment(scene):
    scene.saved_group()
    os.truncate(segments(scene)[-1], 0)
    scene.refuse(["restore", "-d", scene.name, *scene.store()], [scene.name], store_may_change=True)


def case_newer_store(scene):
    scene.saved_group()
    for path in segments(scene):
        with open(path, "r+b") as file:
            file.seek(8)  # the format version
            file.write((250).to_bytes(4, "little"))
    scene.refuse(["restore", "-d", scene.name, *scene.store()], ["version", "250", "newer"])
    scene.refuse(["log", scene.name, *scene.store()], ["version", "250", "newer"])


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
