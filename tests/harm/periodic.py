"""Nothing that fails during a hundred epochs a second may harm the program: periodic.py SCENARIO PROGRAM [--rounds N] [--disk D].

engine_lost   the engine dies by SIGKILL at a random moment, again and again, and another one takes over
disk_full     the store's file system is full for a while
disk_errors   every write to the store fails for a while (needs the volatile disk, ../support/volatile_disk.cc)
The program checks itself all the time (programs/sequence.cc); afterwards epochs of before and after must restore.
"""

import argparse
import ctypes
import os
import random

import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, os.path.join(HERE, "..", "modes"))
sys.path.insert(0, os.path.join(HERE, "..", "power"))

from every_epoch import Run  # noqa: E402
from harness import Failure, Skip, Workspace, await_true, run_test  # noqa: E402
from power import Disk  # noqa: E402

STORE_SIZE = "400m"  # of a file system that a test fills
EIO = 5


def mount(source, target, kind, flags, options):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()) != 0:
        error = ctypes.get_errno()
        raise Skip(f"cannot mount a {kind}: {os.strerror(error)}")


def await_epochs(run, more):
    """Waits until so many epochs more are durable."""
    before = run.perdure.group_row()["newest_epoch"] or 0
    await_true(lambda: (run.perdure.group_row()["newest_epoch"] or 0) >= before + more, f"{more} more epochs", poll_s=0.05)
    run.check_running()
    return run.perdure.group_row()["newest_epoch"]


def await_failure(run):
    def failed():
        run.check_running()
        result = run.perdure.call("checkpoint", "--wait", run.workspace.group, *run.perdure.store_option(), expect_success=False)
        return result.returncode != 0 and result.stderr.strip()
    await_true(failed, "a checkpoint fails, with a message", poll_s=0.05)


def prove(run, epochs):
    """The program ends well, and each of these epochs is one moment."""
    run.lose_with_engine()
    run.let_go()
    for epoch in epochs:
        run.prove(epoch)


def engine_lost(run, options):
    generator = random.Random(options.seed)
    run.begin("5ms", held=True)
    first = await_epochs(run, 3)
    for number in range(options.rounds):
        time.sleep(generator.random() * 0.06)
        run.kill_engine()
        if number % 3 == 0:
            time.sleep(generator.random() * 0.02)  # the program runs without an engine for a while
        run.perdure.takeover()
        run.check_running()
        if number % 4 == 0:
            await_epochs(run, 2)  # a new engine goes on saving periodically
    newest = await_epochs(run, 3)
    # Newest first: restored runs make epochs of their own.
    prove(run, [newest, first])


def fail_for_a_while(run, begin, end):
    """Epochs from before, while nothing could be written, and after."""
    await_epochs(run, 3)
    first = run.perdure.checkpoint()  # acknowledged, while one that is only listed may not be synced yet
    begin()
    await_failure(run)
    time.sleep(0.3)
    run.check_running()
    kept = run.perdure.epochs()
    if first not in kept:
        raise Failure(f"epoch {first} of before the failure is gone: {kept}")
    run.perdure.call("scrub", run.workspace.group, *run.perdure.store_option())
    end()
    newest = await_epochs(run, 5)
    run.perdure.checkpoint()
    log = run.perdure.engine_log()
    prove(run, [newest, first])
    run.perdure.call("scrub", run.workspace.group, *run.perdure.store_option())
    return log


def disk_full(run, _):
    store = run.workspace.store
    os.mkdir(store)
    mount("tmpfs", store, "tmpfs", 0, f"size={STORE_SIZE}")
    try:
        run.begin("10ms")
        filler = os.path.join(store, "filler")

        def fill():
            try:
                with open(filler, "wb", buffering=0) as file:
                    while True:
                        file.write(b"x" * 65536)
            except OSError:
                pass

        def make_room():
            os.unlink(filler)
        log = fail_for_a_while(run, fill, make_room)
        for words in ("checkpoint failed", "epochs succeed again"):
            if words not in log:
                raise Failure(f"the log does not say: {words}\n{log[-2000:]}")
    finally:
        run.workspace.end_processes()
        unmount(store)


def unmount(folder):
    mnt_detach = 2
    ctypes.CDLL(None).umount2(folder.encode(), mnt_detach)


def disk_errors(run, options):
    if not options.disk:
        raise Skip("no --disk")
    disk = Disk(run.workspace, os.path.realpath(options.disk))
    run.workspace.store = disk.path("store")
    try:
        run.begin("10ms")
        fail_for_a_while(run, lambda: disk.switch(f"errors {EIO}"), lambda: disk.switch("errors 0"))
    finally:
        run.workspace.end_processes()
        disk.remove()


SCENARIOS = {"engine_lost": engine_lost, "disk_full": disk_full, "disk_errors": disk_errors}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--disk", help="the volatile disk")
    options = parser.parse_args()
    options.program, options.mode, options.outage = os.path.realpath(options.program), "every", 0

    def body():
        if options.scenario != "engine_lost" and os.geteuid() != 0:
            raise Skip("needs root to mount")
        with Workspace("periodic") as workspace:
            run = Run(workspace, options)
            try:
                SCENARIOS[options.scenario](run, options)
            except Failure as failure:
                raise Failure(f"{failure}\n{run.perdure.history[-1][-2000:]}\n{run.perdure.engine_log()[-2000:]}") from failure

    return run_test(f"periodic ({options.scenario})", body)


if __name__ == "__main__":
    sys.exit(main())
