"""What cannot be attached."""

import ctypes
import os
import shutil

from scene import Failure, main

NOBODY = 65534
PTRACE_SEIZE = 0x4206


def case_vanished_pid(scene):
    process = scene.start("/bin/true")
    process.wait()
    scene.refuse(["attach", process.pid, "--name", scene.name, *scene.store()], [process.pid, "no"])


def case_other_users_process(scene):
    pid = scene.sleeper()
    os.chmod(scene.workspace.folder, 0o777)
    shutil.copy(scene.perdure.binary, scene.workspace.path("perdure"))
    scene.perdure.binary = "/usr/bin/setpriv"
    arguments = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", scene.workspace.path("perdure"), "attach", pid,
                 "--name", scene.name, *scene.store()]
    scene.refuse(arguments, [pid, "another user"], pid=pid, store_may_change=True, HOME=scene.workspace.folder)


def case_debugged_process(scene):
    pid = scene.sleeper()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_SEIZE, pid, None, None) != 0:
        raise Failure("this test cannot trace")
    scene.refuse(["attach", pid, "--name", scene.name, *scene.store()], [pid, "trac", os.getpid()], pid=pid,
                 store_may_change=True)


def case_kernel_thread(scene):
    scene.refuse(["attach", 2, "--name", scene.name, *scene.store()], ["2"], store_may_change=True)


def case_own_command(scene):
    scene.group()
    engines = [pid for pid in scene.workspace.pids() if os.path.realpath(f"/proc/{pid}/exe") == scene.perdure.binary]
    for pid in engines:
        scene.refuse(["attach", pid, "--name", "other", *scene.store()], [pid], store_may_change=True)


def case_attach_twice(scene):
    pid = scene.sleeper()
    scene.perdure.attach(pid)
    scene.refuse(["attach", "-d", pid, "--name", "other", *scene.store()], [pid, scene.name], pid=pid,
                 store_may_change=True)


main(globals())
