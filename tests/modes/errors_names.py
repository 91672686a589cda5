"""Names, epochs and command lines that are wrong."""

from scene import Failure, main


def case_name_in_use(scene):
    pid = scene.group()
    scene.refuse(["run", "-d", "--name", scene.name, *scene.store(), "--", "/bin/sleep", "5"], [scene.name], pid=pid)


def case_name_of_saved_group(scene):
    scene.saved_group()
    scene.refuse(["run", "-d", "--name", scene.name, *scene.store(), "--", "/bin/sleep", "5"], [scene.name])


def case_unknown_group(scene):
    scene.saved_group()
    for verb in ("checkpoint", "restore", "log", "kill", "rm", "scrub", "detach"):
        scene.refuse([verb, "no-such-group", *scene.store()], ["no-such-group"])


def case_missing_epoch(scene):
    scene.saved_group()
    scene.refuse(["restore", "-d", scene.name, "--epoch", 99, *scene.store()], ["99"])
    scene.refuse(["show", scene.name, 99, *scene.store()], ["99"])
    scene.refuse(["diff", scene.name, 1, 99, *scene.store()], ["99"])


def case_no_epoch_yet(scene):
    pid = scene.group()
    scene.refuse(["show", scene.name, "newest", *scene.store()], [scene.name, "epoch"], pid=pid)
    scene.perdure.kill()
    scene.refuse(["restore", "-d", scene.name, *scene.store()], [scene.name, "epoch"])


def case_restore_of_running_group(scene):
    pid = scene.group()
    scene.perdure.checkpoint()
    scene.refuse(["restore", "-d", scene.name, *scene.store()], [scene.name, "run"], pid=pid)


def case_rm_of_running_group(scene):
    pid = scene.group()
    scene.perdure.checkpoint()
    scene.refuse(["rm", scene.name, *scene.store()], [scene.name, "run", "--force"], pid=pid)


def case_bad_command_lines(scene):
    for arguments, words in ((["frobnicate"], ["frobnicate"]), (["restore", "--epoch", "-3", "x"], ["epoch"]),
                             (["run"], ["command"]), (["attach"], []), (["restore", "x", "--epoch", "zero"], ["zero"]),
                             (["run", "--name", "../evil", "--", "true"], ["evil"]), (["run", "--keep", "1/x:1h", "--", "true"], ["1/x:1h"]),
                             (["run", "--every", "1us", "--", "true"], ["1us", "period"]), (["attach", "0"], ["0"])):
        scene.refuse([*arguments[:1], *scene.store(), *arguments[1:]] if arguments[0] != "frobnicate" else arguments, words)


def case_missing_program(scene):
    result = scene.refuse(["run", "-d", "--name", scene.name, *scene.store(), "--", "/no/such/program"],
                          ["/no/such/program"], store_may_change=True)
    del result
    groups = scene.perdure.json("ps", *scene.store())
    rows = groups if isinstance(groups, list) else groups.get("groups", [])
    if any(row.get("name") == scene.name for row in rows):
        raise Failure("a group that never ran is listed")


main(globals())
