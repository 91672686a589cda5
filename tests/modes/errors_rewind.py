"""Times that mean no epoch, and texts that mean no time."""

from scene import main


def case_before_the_first_epoch(scene):
    scene.saved_group()
    restore = ["restore", "-d", scene.name, *scene.store()]
    scene.refuse([*restore, "--at", "2001-02-03 04:05:06.789"],
                 [scene.name, "no epoch captured at or before 2001-02-03 04:05:06.789", "1 epoch,", "(epoch 1)", "log"])
    scene.refuse([*restore, "--back", "1h"], [scene.name, "no epoch captured", "(epoch 1)"])


def case_time_of_a_group_without_epochs(scene):
    pid = scene.group()
    for choice in (["--at", "2001-02-03 04:05"], ["--back", "3s"]):
        scene.refuse(["restore", "-d", "--name", f"{scene.name}-copy", scene.name, *scene.store(), *choice],
                     [scene.name, "epoch"], pid=pid)


def case_texts_that_are_no_time(scene):
    scene.saved_group()
    restore = ["restore", "-d", scene.name, *scene.store()]
    for option, text in (("--at", "noon"), ("--at", "25:00"), ("--at", "2026-02-30 10:00"), ("--at", "10:00:00,5"),
                         ("--back", "3"), ("--back", "soon"), ("--back", "-3s")):
        scene.refuse([*restore, f"{option}={text}"], ["time" if "30" not in text else "no such day"])
    scene.refuse([*restore, "--at", "10:00", "--back", "3s"], ["--at", "--back"])
    scene.refuse([*restore, "--epoch", "1", "--back", "3s"], ["--epoch", "--back"])


main(globals())
