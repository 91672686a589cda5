"""Lazy restores that meet damage, and processes that are killed, while pages are missing."""

import glob
import json
import os
import re
import signal
import subprocess
import time

from scene import Failure, alive, await_true, main, python

BLOCK = 4096
MARK = 0xA5
MEGABYTES = 24
LATE = "delay_ms=400"  # the background reader: so that pages are missing for that long

# Holds MEGABYTES of MARK. Told by a file, it looks at every byte, and says so by another; a wrong byte by a third.
HOLDER = """
import os, time
where = os.environ["PERDURE_HOLDER"]
held = bytearray(b"\\xa5") * (%d << 20)
open(where + "/ready", "w").close()
while True:
    time.sleep(0.002)
    if os.path.exists(where + "/look"):
        right = held.count(0xa5) == len(held)
        open(where + ("/right" if right else "/wrong"), "w").close()
        os.remove(where + "/look")
""" % MEGABYTES


def holder(scene):
    """A saved group that holds the bytes; the folder through which it is asked."""
    folder = scene.workspace.path("holder")
    os.mkdir(folder)
    scene.perdure.run(*python(HOLDER), PERDURE_HOLDER=folder)
    await_true(lambda: os.path.exists(folder + "/ready"), "the holder is ready")
    scene.perdure.checkpoint()
    scene.perdure.kill()
    return folder


def look(folder):
    open(folder + "/look", "w", encoding="utf-8").close()


def restore_late(scene, how=LATE):
    result = scene.perdure.call("restore", "-d", "--json", scene.name, *scene.store(), PERDURE_LAZY=how)
    report = json.loads(result.stdout)
    if report["lazy_pages"] < (MEGABYTES - 1) * 256:
        raise Failure(f"the restore was not lazy: {report}")
    return report


def damage(scene, part=0.5):
    """Flips a bit of a stored page of MARK, behind this part of them."""
    places = []
    for path in sorted(glob.glob(scene.workspace.store + "/*/segment-*")):
        with open(path, "rb") as file:
            content = file.read()
        page = bytes([MARK]) * BLOCK
        places += [(path, at) for at in range(0, len(content), BLOCK) if content[at:at + BLOCK] == page]
    path, at = places[int(len(places) * part)]
    with open(path, "r+b") as file:
        file.seek(at + 123)
        file.write(bytes([MARK ^ 4]))
    return path, at


def engine_says(scene):
    """What the log says of memory that could not be loaded."""
    def said():
        with open(scene.workspace.store + f"/{scene.name}/engine.log", encoding="utf-8") as file:
            text = file.read()
        return text if "memory could not be loaded" in text else None
    return await_true(said, "the engine's log says why")


def expect_damage_named(text, path, at):
    for word in ("memory could not be loaded", os.path.basename(path), str(at), "checksum"):
        if word not in text:
            raise Failure(f"{word!r} is not told: {text}")


def case_lazy_damage_ends_the_group(scene):
    folder = holder(scene)
    path, at = damage(scene)
    report = restore_late(scene)
    look(folder)
    await_true(lambda: not alive(report["root_pid"]), "the group has ended")
    if os.path.exists(folder + "/right") or os.path.exists(folder + "/wrong"):
        raise Failure("the program went on past a damaged page")
    expect_damage_named(engine_says(scene), path, at)


def case_lazy_damage_of_what_is_hot(scene):
    """Found while processes are made, mostly: then the restore fails, and says where the damage is."""
    holder(scene)
    path, at = damage(scene, 0.9)
    result = scene.perdure.call("restore", "-d", scene.name, *scene.store(), expect_success=False)
    expect_damage_named(result.stderr if result.returncode != 0 else engine_says(scene), path, at)
    await_true(lambda: all(not row["running"] for row in scene.perdure.json("ps", *scene.store())), "nothing runs")


def case_lazy_pages_left_are_told(scene):
    """While memory is missing ps says how much."""
    folder = holder(scene)
    report = restore_late(scene, "delay_ms=60000")
    row = scene.perdure.json("ps", *scene.store())[0]
    if not 0 < row["lazy_pages_left"] <= report["lazy_pages"]:
        raise Failure(f"{report['lazy_pages']} pages were to come, ps shows {row}")
    table = scene.perdure.call("ps", *scene.store()).stdout
    metrics = scene.perdure.call("ps", "--metrics", *scene.store()).stdout
    if " to load " not in table or not re.search(r"^perdure_restore_left_bytes\{[^}]*\} [1-9]", metrics, re.M):
        raise Failure(f"nobody tells what is to come:\n{table}\n{metrics}")
    look(folder)
    await_true(lambda: os.path.exists(folder + "/right"), "all bytes are right")
    left = scene.perdure.json("ps", *scene.store())[0]["lazy_pages_left"]
    if left > report["lazy_pages"] - (MEGABYTES - 1) * 256:
        raise Failure(f"ps shows {left} pages to come, of {report['lazy_pages']}")


def case_lazy_checkpoint_waits_alone(scene):
    """A checkpoint waits for the pages; everybody else is answered meanwhile, and periodic epochs are missed."""
    holder(scene)
    restore_late(scene, "delay_ms=2000")
    scene.perdure.call("resume", "--every", "20ms", *scene.store(), scene.name)
    command = [scene.perdure.binary, "checkpoint", "--wait", "--json", *scene.store(), scene.name]
    with subprocess.Popen(command, env=scene.workspace.environment(), stdout=subprocess.PIPE, text=True) as waiting:
        answered = 0
        while waiting.poll() is None:
            begin = time.monotonic()
            row = scene.perdure.json("ps", *scene.store())[0]
            if time.monotonic() - begin > 1:
                raise Failure("ps was kept waiting")
            answered += row["lazy_pages_left"] > 0
            time.sleep(0.02)
        saved = json.loads(waiting.stdout.read())
    if saved["epoch"] < 2 or answered < 10:
        raise Failure(f"{saved}, {answered} answers while pages were missing")
    periodic = scene.perdure.json("ps", *scene.store())[0]["periodic"]
    if periodic["missed"] < 50:
        raise Failure(f"put-off epochs are not counted as missed: {periodic}")


def case_lazy_detach_gives_way(scene):
    """Who asks for a detach and goes away has changed nothing; a kill ends the wait."""
    holder(scene)
    restore_late(scene, "delay_ms=60000")
    command = [scene.perdure.binary, "detach", *scene.store(), scene.name]
    for end in ("asker", "group"):
        with subprocess.Popen(command, env=scene.workspace.environment(), stderr=subprocess.PIPE, text=True) as waiting:
            time.sleep(0.2)
            if waiting.poll() is not None:
                raise Failure("detached although pages are missing")
            if end == "asker":
                waiting.kill()
            else:
                scene.perdure.kill()
            said = waiting.communicate(timeout=20)[1]
        if end == "asker" and not scene.perdure.json("ps", *scene.store())[0]["lazy_pages_left"]:
            raise Failure("the group has no pages to come any more")
    if "perdure: the group has ended" not in said:
        raise Failure(f"detach of a group that was killed: {said}")


def case_lazy_damage_is_refused_eagerly(scene):
    holder(scene)
    path, _ = damage(scene)
    scene.refuse(["restore", "-d", "--eager", scene.name, *scene.store()], [os.path.basename(path), "checksum"])


def case_lazy_killed_engine(scene):
    """The engine dies while pages are missing: the program sees its own bytes, and a new engine saves it."""
    folder = holder(scene)
    report = restore_late(scene)
    os.kill(report["engine_pid"], signal.SIGKILL)
    look(folder)
    await_true(lambda: os.path.exists(folder + "/right") or os.path.exists(folder + "/wrong"), "the holder has looked")
    if os.path.exists(folder + "/wrong"):
        raise Failure("a byte is wrong after the engine was killed")
    scene.perdure.takeover()
    scene.perdure.checkpoint()


def case_lazy_killed_init(scene):
    """The init dies, and the group with it: whoever waits for a page sees nothing instead."""
    folder = holder(scene)
    for _ in range(10):
        report = restore_late(scene)
        with open(f"/proc/{report['root_pid']}/stat", encoding="utf-8") as file:
            init = int(file.read().rpartition(")")[2].split()[1])
        look(folder)
        time.sleep(0.004)  # it is on its way through the bytes
        os.kill(init, signal.SIGKILL)
        await_true(lambda pid=report["root_pid"]: not alive(pid), "the group has ended")
        await_true(lambda: scene.perdure.call("kill", scene.name, *scene.store(), expect_success=False).returncode != -1000,
                   "the engine has ended")
        for name in ("look", "right"):
            if os.path.exists(f"{folder}/{name}"):
                os.remove(f"{folder}/{name}")
        if os.path.exists(folder + "/wrong"):
            raise Failure("a byte was wrong when the init was killed")


def case_lazy_pager_leaves_nothing(scene):
    """When all pages are there, the init holds no file of the store, which may be deleted, and has no thread more."""
    holder(scene)
    report = restore_late(scene)
    with open(f"/proc/{report['root_pid']}/stat", encoding="utf-8") as file:
        init = int(file.read().rpartition(")")[2].split()[1])

    def held():
        links = []
        for number in os.listdir(f"/proc/{init}/fd"):
            try:
                links.append(os.readlink(f"/proc/{init}/fd/{number}"))
            except FileNotFoundError:
                continue
        return [link for link in links if "segment-" in link or "userfaultfd" in link or "eventfd" in link]
    if not held():
        raise Failure("the init holds nothing while pages are missing")
    await_true(lambda: not held() and len(os.listdir(f"/proc/{init}/task")) == 1, "the pager has gone")


if __name__ == "__main__":
    main(globals())
