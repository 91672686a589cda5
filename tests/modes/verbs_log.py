"""How a group's epochs are listed: branches, times of the parts, and long lists."""

import json
import os
import pty
import re
import subprocess

from scene import Failure, main


def check(condition, text):
    if not condition:
        raise Failure(text)


def log(scene, *options):
    return scene.perdure.call("log", scene.name, *scene.store(), *options).stdout


def case_graph_draws_branches(scene):
    scene.group()
    for _ in range(3):
        scene.perdure.checkpoint()
    for back_to in (2, 1):
        scene.perdure.kill()
        scene.perdure.restore(epoch=back_to)
        scene.perdure.checkpoint()
    lines = log(scene, "--graph").splitlines()
    art = [re.match(r"[*|/_ ]*(?:[0-9]+)?", line).group().split() for line in lines[1:]]
    check(art == [["*", "5"], ["|", "*", "4"], ["|", "|", "*", "3"], ["|", "|/"], ["|", "*", "2"], ["|/"], ["*", "1"]],
          "the graph is\n" + "\n".join(lines))
    check("EPOCH" in lines[0] and "CAPTURED" in lines[0], f"the titles are {lines[0]}")
    thinned = log(scene, "--graph", "--thin", "1d")
    check([row.split()[0] for row in log(scene, "-n", 2).splitlines()[1:]] == ["4", "5"], "-n 2 shows others")
    check(thinned == log(scene, "--graph"), f"thinning hides branches:\n{thinned}")


def case_timing_shows_the_parts(scene):
    scene.group()
    for _ in range(4):
        scene.perdure.checkpoint()
    listing = json.loads(log(scene, "--timing", "--json"))
    check([row["epoch"] for row in listing["epochs"]] == [1, 2, 3, 4], f"the epochs are {listing['epochs']}")
    stops = sorted(row["stop_us"] for row in listing["epochs"])
    check(listing["timing_us"]["stop_us"] == {"p50": stops[1], "p99": stops[3], "max": stops[3]},
          f"{listing['timing_us']['stop_us']} is not of {stops}")
    for part in listing["epochs"][0]["timing"]:
        check(part in listing["timing_us"], f"no summary of {part}")
    lines = log(scene, "--timing").splitlines()
    check(len(lines) == 8, f"{len(lines)} lines")
    for part in ("STOPPED", "memory", "files", "resume"):
        check(part in lines[0], f"no column {part}: {lines[0]}")
    check([line.split()[0] for line in lines[-3:]] == ["p50", "p99", "max"], f"the summary is {lines[-3:]}")


def on_terminal(scene, *options):
    """What the command prints where standard output is a terminal."""
    master, slave = pty.openpty()
    with subprocess.Popen([scene.perdure.binary, "log", scene.name, *scene.store(), *options], stdout=slave,
                          stdin=subprocess.DEVNULL, env=scene.workspace.environment()) as process:
        os.close(slave)
        text = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            text += piece
    os.close(master)
    check(process.returncode == 0, f"log ended with {process.returncode}")
    return text.decode().replace("\r\n", "\n")


def case_long_lists_are_bounded(scene):
    scene.group()
    total = 220
    for _ in range(total):
        scene.perdure.call("checkpoint", scene.name, *scene.store())
    scene.perdure.checkpoint()
    total += 1
    times = [row["captured_realtime_ns"] for row in scene.perdure.json("log", scene.name, *scene.store())]
    check(len(times) == total, f"{len(times)} epochs")
    check(len(log(scene).splitlines()) == total + 1, "a pipe does not get all epochs")
    check(len(log(scene, "-n", 7).splitlines()) == 8, "-n 7 shows another number")
    since = log(scene, "--since", f"{times[-1] - times[-5]}ns").splitlines()[1:]
    check([int(line.split()[0]) for line in since] == list(range(total - 4, total + 1)), f"--since shows {since}")
    thinned = log(scene, "--thin", "100ms").splitlines()[1:]
    intervals = len({when // 10**8 for when in times})
    check(intervals <= len(thinned) <= intervals + 1, f"{len(thinned)} rows of {intervals} intervals")
    check(all(f"+{hidden}" in line for line, hidden in zip(thinned[1:], hidden_between(thinned)) if hidden), "hidden counts")
    shown = on_terminal(scene)
    check(len(shown.splitlines()) <= 210 and f"of {total} epochs" in shown, f"a terminal gets {shown[-300:]}")
    check(len(on_terminal(scene, "--all").splitlines()) == total + 1, "--all does not show all")


def hidden_between(lines):
    numbers = [int(line.split()[0]) for line in lines]
    return [later - earlier - 1 for earlier, later in zip(numbers, numbers[1:])]


main(globals())
