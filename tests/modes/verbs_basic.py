"""What each verb does when all is well, as a user and a script see it."""

import json
import os
import subprocess
import time

from scene import Failure, alive, await_true, main, python

VERBS = ("run", "attach", "detach", "checkpoint", "restore", "pause", "resume", "ps", "log", "kill", "rm", "show", "dump", "diff", "scrub",
         "check")


def check(condition, text):
    if not condition:
        raise Failure(text)


def rows(listing, key):
    return listing if isinstance(listing, list) else listing[key]


def row_of(scene, name=None):
    """The line of `ps` about a group, or None."""
    found = [row for row in rows(scene.perdure.json("ps", *scene.store()), "groups") if row["name"] == (name or scene.name)]
    check(len(found) <= 1, f"ps lists a group twice: {found}")
    return found[0] if found else None


def foreground(scene, *command, text=""):
    return subprocess.run([scene.perdure.binary, "run", "--name", scene.name, *scene.store(), "--", *command], input=text,
                          capture_output=True, text=True, env=scene.workspace.environment(), timeout=30, check=False)


def sleeps(scene):
    found = []
    for pid in scene.workspace.pids():
        try:
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "sleep":
                found.append(pid)
        except OSError:
            continue
    return found


def case_help_has_examples(scene):
    for verb in VERBS:
        text = scene.perdure.call(verb, "--help").stdout
        check("Example" in text and f"perdure {verb}" in text, f"perdure {verb} --help has no example")
    check("run" in scene.perdure.call("--help").stdout, "perdure --help names no verb")
    check(scene.perdure.call("--version").stdout.startswith("perdure "), "perdure --version prints no version")


def case_foreground_exit_status(scene):
    check(foreground(scene, "/bin/sh", "-c", "exit 7").returncode == 7, "the exit status is not the command's")
    scene.perdure.remove()
    status = foreground(scene, "/bin/sh", "-c", "kill -TERM $$").returncode
    check(status == 128 + 15, f"the exit status of a killed command is {status}")


def case_foreground_streams(scene):
    result = foreground(scene, "/bin/sh", "-c", "cat; echo to-stderr >&2", text="through\nthe pipe\n")
    check(result.returncode == 0, f"exit status {result.returncode}: {result.stderr}")
    check(result.stdout == "through\nthe pipe\n", f"standard output is {result.stdout!r}")
    check(result.stderr == "to-stderr\n", f"standard error is {result.stderr!r}")


def case_ps_tells_the_state(scene):
    check(row_of(scene) is None, "ps lists a group that does not exist")
    pid = scene.group()
    row = row_of(scene)
    check(row and alive(row["engine_pid"]), f"ps shows no living engine: {row}")
    check(pid in row["pids"], f"ps does not show pid {pid}: {row}")
    check(row["state"] == "running", f"the state is {row['state']}")
    scene.perdure.checkpoint()
    scene.perdure.kill()
    row = row_of(scene)
    check(row and row["state"] != "running", f"ps shows a killed group as {row}")
    scene.perdure.call("rm", scene.name, *scene.store())
    check(row_of(scene) is None, "ps lists a removed group")
    check(not os.path.exists(os.path.join(scene.workspace.store, scene.name)), "rm left the group's folder")


def case_checkpoint_tells_its_size(scene):
    scene.group()
    report = scene.perdure.json("checkpoint", scene.name, *scene.store())
    check(report["bytes_written"] > 0, f"an epoch that is not waited for has no size: {report}")
    waited = scene.perdure.json("checkpoint", "--wait", scene.name, *scene.store())
    check(waited["bytes_written"] > 0, f"an epoch has no size: {waited}")


def case_log_lists_epochs(scene):
    scene.group()
    for _ in range(3):
        scene.perdure.checkpoint()
    log = rows(scene.perdure.json("log", scene.name, *scene.store()), "epochs")
    check([row["epoch"] for row in log] == [1, 2, 3], f"the epochs are {[row['epoch'] for row in log]}")
    check(all(0 < row["stop_us"] < 5_000_000 for row in log), f"the stop times are {[row['stop_us'] for row in log]}")
    check(all(row["bytes_written"] > 0 for row in log), "an epoch wrote nothing")
    check("1" in scene.perdure.call("log", scene.name, *scene.store()).stdout, "log prints no table")


def case_show_and_diff(scene):
    scene.group()
    scene.perdure.checkpoint()
    scene.perdure.checkpoint()
    text = scene.perdure.call("show", scene.name, 1, *scene.store()).stdout
    for word in ("process", "thread", "sleep", "/dev/null"):
        check(word in text.lower(), f"show does not mention {word}")
    scene.perdure.json("show", scene.name, "newest", *scene.store())
    scene.perdure.call("diff", scene.name, 1, 2, *scene.store())
    scene.perdure.json("diff", scene.name, 1, 2, *scene.store())


def case_keep(scene):
    scene.group()
    for _ in range(5):
        scene.perdure.call("checkpoint", "--wait", "--keep", 2, scene.name, *scene.store())
    check(scene.perdure.epochs() == [4, 5], f"the epochs are {scene.perdure.epochs()}")
    scene.perdure.kill()
    scene.perdure.restore(epoch=4)


def case_keep_by_rules(scene):
    """Rules bound the epochs of a periodic group, and are remembered by a restore. Dropping has time: it comes in hundreds."""
    scene.perdure.call("run", "-d", "--name", scene.name, "--every", "5ms", "--keep", "all:100ms,1/m:1h", *scene.store(), "--",
                       "/bin/sleep", "1000")
    # Beside other tests the period is stretched, as processors are contended.
    await_true(lambda: scene.perdure.epochs()[-1:] > [700], "there are many epochs", deadline_s=90)
    check(len(scene.perdure.epochs()) < 600, f"{len(scene.perdure.epochs())} epochs are kept")
    settings = os.path.join(scene.workspace.store, scene.name, "settings")
    scene.perdure.kill()
    scene.perdure.restore()
    with open(settings, encoding="ascii") as file:
        check("keep all:100ms,1/m:1h\n" in file.read(), "the rules are forgotten")
    scene.refuse(["resume", "--every", "often", scene.name, *scene.store()], ["often"], store_may_change=True)


def case_detach_lets_go(scene):
    pid = scene.sleeper()
    scene.perdure.attach(pid)
    engine = row_of(scene)["engine_pid"]
    scene.perdure.checkpoint()
    scene.perdure.detach()
    await_true(lambda: not alive(engine), "the engine ends")
    check(alive(pid), "the process ended at detach")
    row = row_of(scene)
    check(row and row["state"] == "detached", f"ps shows {row}")
    scene.perdure.call("scrub", scene.name, *scene.store())


def case_copy_beside_the_original(scene):
    scene.group()
    scene.perdure.checkpoint()
    copy = f"{scene.name}-copy"
    try:
        scene.perdure.restore(extra=["--name", copy])
        check(len(sleeps(scene)) == 2, f"{len(sleeps(scene))} copies run")
        check(row_of(scene, copy)["state"] == "running", "the copy does not run")
        scene.perdure.checkpoint(name=copy)
        scene.perdure.kill(name=copy)
        check(len(sleeps(scene)) == 1, "killing the copy killed the original")
    finally:
        scene.perdure.remove(copy)


def case_rewind_and_go_on(scene):
    """After going back, new epochs get new numbers, and every epoch can still be restored."""
    scene.group()
    for _ in range(2):
        scene.perdure.checkpoint()
    scene.perdure.kill()
    scene.perdure.restore(epoch=1)
    new = scene.perdure.checkpoint()
    check(new == 3, f"the epoch after going back is {new}")
    for epoch in (2, 3, 1):
        scene.perdure.kill()
        scene.perdure.restore(epoch=epoch)
        check(len(sleeps(scene)) == 1, f"{len(sleeps(scene))} sleeps run after restoring epoch {epoch}")


def case_group_that_ends(scene):
    scene.group("/bin/sleep", "0.5")

    def has_ended():
        row = row_of(scene)
        return row is None or row["state"] == "ended"

    await_true(has_ended, "ps says that the group has ended")
    await_true(lambda: not scene.workspace.pids(), "the engine leaves with the group")


def case_takeover(scene):
    pid = scene.group()
    scene.perdure.checkpoint()
    os.kill(row_of(scene)["engine_pid"], 9)
    await_true(lambda: row_of(scene)["state"] == "no engine", "ps notices that the engine is gone")
    check(alive(pid), "the group died with its engine")
    scene.perdure.takeover()
    check(row_of(scene)["state"] == "running", f"ps shows {row_of(scene)}")
    scene.perdure.checkpoint()
    scene.perdure.kill()
    check(not alive(pid), "kill after a takeover did not end the group")


def case_check_says_what_works(scene):
    scene.perdure.call("check")
    listing = scene.perdure.json("check")
    check(listing, "check --json is empty")


def case_store_from_environment(scene):
    """PERDURE_STORE instead of --store; the verbs find the group by its name."""
    environment = {"PERDURE_STORE": scene.workspace.store}
    scene.perdure.call("run", "-d", "--name", scene.name, "--", "/bin/sleep", "1000", **environment)
    scene.perdure.call("checkpoint", "--wait", scene.name, **environment)
    scene.perdure.call("kill", scene.name, **environment)
    scene.perdure.call("restore", "-d", scene.name, **environment)
    check(len(sleeps(scene)) == 1, "the group does not run")


def case_output_of_detached_group(scene):
    """Files that standard output was redirected to stay connected; a restore finds them as they were."""
    out = scene.workspace.path("out")
    with open(out, "w", encoding="utf-8") as file:
        subprocess.run([scene.perdure.binary, "run", "-d", "--name", scene.name, *scene.store(), "--",
                        *python("import time, os\nfor n in range(100000):\n print(n, flush=True)\n"
                                f" while os.path.exists('{out}.hold'): time.sleep(.01)\n time.sleep(.01)")],
                       stdout=file, stdin=subprocess.DEVNULL, env=scene.workspace.environment(), check=True, timeout=30)

    def lines():
        with open(out, encoding="utf-8") as file:
            return [line for line in file.read().splitlines() if "running" not in line]
    await_true(lambda: len(lines()) > 5, "the group prints")
    with open(f"{out}.hold", "w", encoding="utf-8"):
        pass
    time.sleep(0.1)
    before = lines()
    scene.perdure.checkpoint()
    scene.perdure.kill()
    scene.perdure.restore()
    os.unlink(f"{out}.hold")
    await_true(lambda: len(lines()) > len(before) + 5, "the group goes on to print")
    after = lines()
    check(after == [str(n) for n in range(len(after))], f"lines were lost or doubled: {before[-3:]}, {after}")


def case_verbs_report_json(scene):
    """What a script needs to know of verbs that do something."""
    def ask(verb, *arguments):
        return scene.perdure.json(verb, *arguments, *scene.store())

    words = [scene.perdure.binary, "run", "-d", "--json", "--name", scene.name, "--every", "50ms", *scene.store(), "--",
             "/bin/sleep", "1000"]
    started = json.loads(subprocess.run(words, capture_output=True, text=True, env=scene.workspace.environment(), timeout=30,
                                        stdin=subprocess.DEVNULL, check=True).stdout)
    row = row_of(scene)
    check(started == {"name": scene.name, "engine_pid": row["engine_pid"], "root_pid": row["root_pid"], "processes": 1},
          f"run says {started}, ps {row}")
    check(ask("attach", scene.name) == started, "attach says something else than run")
    check(ask("pause", scene.name) == {"name": scene.name, "paused": True, "period_ns": 50_000_000}, "pause says something else")
    check(row_of(scene)["periodic"]["paused"], "it is not paused")
    resumed = ask("resume", "--every", "100ms", scene.name)
    check(resumed == {"name": scene.name, "paused": False, "period_ns": 100_000_000}, f"resume says {resumed}")
    scene.perdure.checkpoint()
    check(ask("kill", scene.name) == [{"name": scene.name, "killed": True, "error": None}], "kill says something else")
    result = scene.perdure.call("rm", "--json", "nobody", scene.name, *scene.store(), expect_success=False)
    nobody, removed = json.loads(result.stdout)
    check(result.returncode == 11 and "nobody" in result.stderr, f"rm ended with {result.returncode}: {result.stderr}")
    check(removed == {"name": scene.name, "removed": True, "error": None}, f"rm says {removed}")
    check(nobody["name"] == "nobody" and not nobody["removed"] and "nobody" in nobody["error"], f"rm says {nobody}")
    pid = scene.sleeper()
    adopted = ask("attach", pid, "--name", scene.name)
    check(adopted["name"] == scene.name and adopted["root_pid"] == pid and adopted["processes"] == 1, f"attach says {adopted}")
    check(ask("detach", scene.name) == {"name": scene.name, "detached": True}, "detach says something else")


main(globals())
