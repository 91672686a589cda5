"""Pages without a terminal."""

from scene import main


def case_watch_without_a_terminal(scene):
    scene.refuse(["ps", "--watch", *scene.store()], ["--watch", "terminal", "--json"])
    scene.refuse(["ps", "--watch", "--json", *scene.store()], ["--watch", "--json"])


main(globals())
