"""What can be seen of a process from outside, to show that something left it as it was."""

import hashlib
import os
import time

STATUS_KEYS = ("Name", "State", "TracerPid", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "CapEff", "Uid", "Threads")


def observe(pid):
    """Maps, descriptors and signals of a process, as lines. The state of a sleeper that just ran may differ: R is S."""
    lines = []
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        # One page of code stays in a program while an engine is attached to it.
        lines += [f"map {line.strip()}" for line in file if "/memfd:perdure-batch" not in line]
    for fd in sorted(os.listdir(f"/proc/{pid}/fd"), key=int):
        with open(f"/proc/{pid}/fdinfo/{fd}", encoding="utf-8", errors="replace") as info:
            position = " ".join(" ".join(line.split()) for line in info if line.startswith(("pos", "flags")))
        lines.append(f"fd {fd} {os.readlink(f'/proc/{pid}/fd/{fd}')} {position}")
    for tid in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
        with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key in STATUS_KEYS:
                    lines.append(f"thread {tid} {key} {value.strip().replace('R (running)', 'S (sleeping)')}")
    return lines


def at_rest(pid, pause_s=0.02):
    """What observe() tells of a process that has started up: it sleeps or is stopped, and two looks see the same."""
    before = None
    while True:
        with open(f"/proc/{pid}/wchan", encoding="ascii") as place:
            waits = place.read() != "0"
        try:
            now = observe(pid)
        except FileNotFoundError:  # a descriptor that it has closed, as it does while it starts up
            if not os.path.exists(f"/proc/{pid}"):
                raise
            waits, now = False, None
        if waits and now == before:
            return now
        before = now if waits else None
        time.sleep(pause_s)


def difference(before, after):
    """The first lines that differ, as text; empty if nothing does."""
    lost = [f"- {line}" for line in before if line not in after]
    new = [f"+ {line}" for line in after if line not in before]
    return "\n".join((lost + new)[:10])


def checksums(folder, ignore=("engine.log", "engine.1.log", "ended", "lock")):
    """Every file below a folder with its size and checksum."""
    found = {}
    for where, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(where, name)
            if name in ignore or not os.path.isfile(path):
                continue
            with open(path, "rb") as file:
                content = file.read()
            found[os.path.relpath(path, folder)] = (len(content), hashlib.sha256(content).hexdigest())
    return found
