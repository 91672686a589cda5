"""Restores whose executable, library or open file has changed since the epoch."""

import os
import shutil

from scene import await_true, main, python


def changed_copy(scene, program, change):
    copy = scene.workspace.path("program")
    shutil.copy(program, copy)
    scene.saved_group(copy, "1000")
    change(copy)
    scene.refuse(["restore", "-d", scene.name, *scene.store()], [copy])


def case_changed_executable(scene):
    def change(copy):
        shutil.copy("/bin/cat", f"{copy}.new")
        os.rename(f"{copy}.new", copy)
    changed_copy(scene, "/bin/sleep", change)


def case_missing_executable(scene):
    changed_copy(scene, "/bin/sleep", os.unlink)


def case_changed_library(scene):
    library = scene.workspace.path("libm.so.6")
    shutil.copy("/lib/x86_64-linux-gnu/libm.so.6", library)
    scene.group(*python(f"import ctypes, time; ctypes.CDLL('{library}'); open('{library}.ok', 'w'); time.sleep(1000)"))
    await_true(lambda: os.path.exists(f"{library}.ok"), "the library is loaded")
    scene.perdure.checkpoint()
    scene.perdure.kill()
    shutil.copy("/lib/x86_64-linux-gnu/libc.so.6", f"{library}.new")
    os.rename(f"{library}.new", library)
    scene.refuse(["restore", "-d", scene.name, *scene.store()], [library])


def open_file_case(scene, change, words, volatile_works=True):
    data = scene.workspace.path("data")
    scene.group(*python(f"import time; f = open('{data}', 'w'); f.write('x' * 5000); f.flush(); time.sleep(1000)"))
    await_true(lambda: os.path.exists(data) and os.path.getsize(data) == 5000, "the file is written")
    scene.perdure.checkpoint()
    scene.perdure.kill()
    change(data)
    scene.refuse(["restore", "-d", scene.name, *scene.store()], [data, *words])
    if volatile_works:
        scene.perdure.restore(extra=["--files", "volatile"])


def case_file_grew(scene):
    def change(path):
        with open(path, "a", encoding="utf-8") as file:
            file.write("more")
    open_file_case(scene, change, ["5004 bytes"])


def case_file_rewritten(scene):
    def change(path):
        status = os.stat(path)
        with open(path, "r+", encoding="utf-8") as file:
            file.write("y")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    open_file_case(scene, change, ["content"])


def case_file_touched(scene):
    open_file_case(scene, os.utime, ["modif"])


def case_file_gone(scene):
    open_file_case(scene, os.unlink, [], volatile_works=False)


main(globals())
