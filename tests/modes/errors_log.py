"""Options of log that are wrong."""

from scene import main


def case_log_options(scene):
    scene.saved_group()
    log = ["log", scene.name, *scene.store()]
    for options, words in ((["-n", "0"], ["0", "epochs"]), (["-n", "all"], ["all"]), (["--since", "soon"], ["soon", "time"]),
                           (["--thin", "0s"], ["0s", "span"]), (["--thin", "7"], ["7", "span"]),
                           (["--thin", "1s", "--all"], ["--all", "--thin"]), (["--graphic"], ["--graphic"])):
        scene.refuse([*log, *options], words)


main(globals())
