"""Missing privileges, missing kernel features, PIDs that are taken, two engines."""

import os
import shutil

from scene import Failure, Skip, alive, await_true, main, waits

NOBODY = 65534


def case_missing_privileges(scene):
    shutil.copy(scene.perdure.binary, scene.workspace.path("perdure"))
    scene.perdure.binary = "/usr/bin/setpriv"
    as_nobody = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", scene.workspace.path("perdure")]
    scene.refuse([*as_nobody, "run", "-d", "--name", scene.name, *scene.store(), "--", "/bin/sleep", "5"], ["root"],
                 store_may_change=True, HOME=scene.workspace.folder)


def case_check_names_what_is_missing(scene):
    result = scene.perdure.call("check", expect_success=False, PERDURE_DISABLE="pagemap_scan")
    for word in ("pagemap_scan", "6.7"):
        if word not in result.stdout + result.stderr:
            raise Failure(f"perdure check does not say {word!r}: {result.stdout}{result.stderr}")


def case_unknown_feature_disabled(scene):
    scene.refuse(["run", "-d", "--name", scene.name, *scene.store(), "--", "/bin/sleep", "5"], ["warp_drive"],
                 PERDURE_DISABLE="warp_drive", store_may_change=True)


def case_pid_taken(scene):
    """An attached group comes back with its PIDs; somebody else has one of them."""
    pid = scene.sleeper()
    scene.perdure.attach(pid)
    scene.perdure.checkpoint()
    scene.perdure.kill()
    scene.processes[0].wait(timeout=10)
    holder = None
    for _ in range(200):
        try:
            with open("/proc/sys/kernel/ns_last_pid", "w", encoding="utf-8") as file:
                file.write(str(pid - 1))
        except OSError as error:
            raise Skip(f"ns_last_pid cannot be set: {error}") from error
        holder = scene.start("/bin/sleep", "999")
        if holder.pid == pid:
            break
        holder.kill()
        holder.wait()
    else:
        raise Skip("the PID could not be taken")
    await_true(lambda: os.readlink(f"/proc/{pid}/exe").endswith("sleep") and waits(pid), "the holder sleeps")
    scene.refuse(["restore", "-d", scene.name, *scene.store()], [pid, "sleep"], pid=pid)
    holder.kill()
    holder.wait()
    scene.perdure.restore()
    if not alive(pid):
        raise Failure("the group did not come back")


def case_two_engines(scene):
    """A second engine on one store: refused while the first one lives."""
    pid = scene.group()
    scene.perdure.checkpoint()
    for runtime in (scene.workspace.path("elsewhere"),):  # the control socket cannot be found there
        scene.refuse(["restore", "-d", scene.name, *scene.store()], [scene.name], pid=pid, PERDURE_RUNTIME_DIR=runtime)


main(globals())
