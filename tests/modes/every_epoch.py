"""Every epoch is exactly one moment: every_epoch.py PROGRAM [--epochs N] [--for SECONDS] [--every SPAN] [--held].

The program, which checks itself, is saved a hundred times a second and lost. Then it is restored from N epochs spread over the
run (all: 0), each time to go on to its end, from which it reports whether what it found was one state.
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from harness import Failure, Workspace, alive, await_true, run_test  # noqa: E402
from run_program import GUIDED, Session  # noqa: E402

CHECKPOINTS = 10  # more than any program has
EPOCHS_MIN = 10  # fewer in a run prove nothing


class Run(Session):
    def begin(self, period, held=False):
        if held:
            self.perdure.extra |= GUIDED
        environment = {"PERDURE_TEST_DIR": self.workspace.path("io"), "PERDURE_TEST_MODE": "every"}
        self.perdure.run(self.options.program, extra=["--every", period, "--keep", "100000"], **environment)
        if not self.meet("ready.0"):
            raise Failure(f"the program says: {self.result()}")

    def run_on(self, seconds):
        """Lets epochs come until there are enough, however slow the machine is."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.05)
            self.check_running()
        await_true(lambda: self.perdure.group_row()["epochs"] >= EPOCHS_MIN, f"{EPOCHS_MIN} epochs", poll_s=0.1)

    def check_running(self):
        if self.result() is not None:
            raise Failure(f"while it was saved the program said: {self.result()}")

    def let_go(self):
        """From now on the program passes all its checkpoints."""
        for number in range(CHECKPOINTS):
            with open(self.file(f"go.{number}"), "w", encoding="utf-8"):
                pass

    def prove(self, epoch):
        if os.path.exists(self.file("result")):
            os.unlink(self.file("result"))
        self.perdure.restore(epoch=epoch)
        if self.meet("never"):
            raise Failure("this name is not taken")
        if self.result() != "ok":
            raise Failure(f"restored from epoch {epoch} the program says: {self.result()}")
        await_true(lambda: not any(map(alive, self.workspace.pids())), "the group has ended with its program")


def spread(epochs, count):
    """So many of them, the first and the last included, evenly spread."""
    if count == 0 or count >= len(epochs):
        return epochs
    return [epochs[i * (len(epochs) - 1) // (count - 1)] for i in range(count)]


def expect_held(perdure):
    rows = perdure.json("log", perdure.workspace.group, *perdure.store_option())
    held = [row["held_pages"] for row in rows]
    if sum(count > 0 for count in held) < EPOCHS_MIN:
        raise Failure(f"pages that were held in each epoch: {held}")


def prove_all(run, options):
    run.begin(options.every, options.held)
    run.run_on(options.seconds)
    run.lose_with_engine()
    run.let_go()
    epochs = run.perdure.epochs()
    if options.held:
        expect_held(run.perdure)
    # The newest first, as epochs of the restored runs come after them.
    for number, epoch in enumerate(reversed(spread(epochs, options.epochs))):
        run.prove(epoch)
        print(f"{number + 1}: epoch {epoch} of {epochs[-1]} is one moment", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--for", dest="seconds", type=float, default=1.0)
    parser.add_argument("--every", default="10ms")
    parser.add_argument("--held", action="store_true", help="pages are copied after the group runs again")
    options = parser.parse_args()
    options.program, options.mode, options.outage = os.path.realpath(options.program), "every", 0
    name = os.path.basename(options.program)

    def body():
        with Workspace(name) as workspace:
            run = Run(workspace, options)
            try:
                prove_all(run, options)
            except Failure as failure:
                raise Failure(f"{failure}\n{run.perdure.history[-1]}\n{run.perdure.engine_log()[-2000:]}") from failure
            finally:
                run.perdure.remove()

    return run_test(f"{name} (every epoch)", body)


if __name__ == "__main__":
    sys.exit(main())
