"""Dumps that cannot be written."""

import os

from scene import Failure, main


def case_dump_arguments(scene):
    scene.saved_group()
    core = scene.workspace.path("core")
    dump = ["dump", *scene.store(), "-o", core]
    for arguments, words in (([], ["epoch"]), ([scene.name, "99"], ["no epoch 99", "1 epoch"]), ([scene.name, "three"], ["three"]),
                             ([scene.name, "1", "--pid", "4000000"], ["no process 4000000", "sleep"]),
                             ([scene.name, "1", "--pid", "0"], ["0"]), (["no-such-group", "1"], ["no-such-group"]),
                             ([scene.name, "--at", "2001-02-03 04:05"], ["no epoch captured", "(epoch 1)"]),
                             ([scene.name, "1", "--at", "2001-02-03 04:05"], ["1"])):
        scene.refuse([*dump, *arguments], words)
    if os.path.exists(core):
        raise Failure("a core was written")


def case_dump_into_a_place_that_is_none(scene):
    scene.saved_group()
    folder = scene.workspace.path("folder")
    os.mkdir(folder)
    for path in (scene.workspace.path("missing", "core"), folder, "/proc/core"):
        scene.refuse(["dump", *scene.store(), "-o", path, scene.name, "1"], [path])
    if os.listdir(folder) or [name for name in os.listdir(scene.workspace.folder) if "part" in name]:
        raise Failure("something was left behind")


def case_dump_on_a_full_disk(scene):
    """What was at the path stays."""
    scene.saved_group()
    core = scene.workspace.path("core")
    with open(core, "w", encoding="ascii") as file:
        file.write("precious")
    limited = ["/bin/sh", "-c", 'ulimit -f 64; trap "" XFSZ; exec "$0" "$@"', scene.perdure.binary]
    binary, scene.perdure.binary = scene.perdure.binary, limited[0]
    try:
        scene.refuse([*limited[1:], "dump", *scene.store(), "-o", core, scene.name, "1"], [core])
    finally:
        scene.perdure.binary = binary
    with open(core, encoding="ascii") as file:
        if file.read() != "precious":
            raise Failure("the old file is gone")
    if [name for name in os.listdir(scene.workspace.folder) if "part" in name]:
        raise Failure("a part was left")


main(globals())
