"""The foreground on a terminal, as a person sees it: perdure runs in a pty of this test's own."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

from scene import Failure, alive, await_true, main

DETACH = "\x1dd"  # control-] d


def check(condition, text):
    if not condition:
        raise Failure(text)


class Terminal:
    """A command on a terminal: what it prints, what is typed, how it ends."""

    def __init__(self, scene, *arguments, rows=24, columns=80):
        self._output = ""
        self._status = None
        pid, self._master = pty.fork()
        if pid == 0:
            os.execve(scene.perdure.binary, [scene.perdure.binary, *map(str, arguments)], scene.workspace.environment())
        self.pid = pid
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self._master)

    def resize(self, rows, columns):
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self._master, text.encode())

    def _read(self, seconds):
        ready, _, _ = select.select([self._master], [], [], seconds)
        if ready:
            try:
                self._output += os.read(self._master, 65536).decode(errors="replace")
            except OSError:  # the other side is closed
                time.sleep(0.001)

    def await_output(self, text, seconds=20):
        """Everything up to the text; what follows stays for the next call."""
        deadline = time.monotonic() + seconds
        while text not in self._output:
            check(time.monotonic() < deadline, f"the terminal does not show {text!r}, but {self._output[-500:]!r}")
            self._read(0.1)
        before, _, self._output = self._output.partition(text)
        return before

    def mode(self):
        return termios.tcgetattr(self._master)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def exit_status(self, seconds=20):
        deadline = time.monotonic() + seconds
        while self._status is None:
            check(time.monotonic() < deadline, f"perdure does not end; the terminal shows {self._output[-500:]!r}")
            self._read(0.01)
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # the harness, which waits for orphans, was faster
                pid, status = self.pid, 0
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        self._read(0.05)
        return self._status

    def close(self):
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.exit_status()
        os.close(self._master)


def run(scene, *command, **options):
    return Terminal(scene, "run", "--name", scene.name, *scene.store(), "--", *command, **options)


def case_terminal_exit_status(scene):
    terminal = run(scene, "/bin/sh", "-c", "tty; exit 7")
    terminal.await_output("/dev/pts/")
    check(terminal.exit_status() == 7, f"exit status {terminal.exit_status()}")
    terminal.close()


def case_terminal_shows_everything_before_the_end(scene):
    terminal = run(scene, "/bin/sh", "-c", "seq 1 20000")
    terminal.await_output("\r\n20000\r\n")
    check(terminal.exit_status() == 0, f"exit status {terminal.exit_status()}")
    terminal.close()


def case_terminal_is_resized(scene):
    terminal = run(scene, "/bin/sh", "-c", "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done", rows=31, columns=97)
    text = terminal.await_output("97")
    check("31" in text, f"the size at the start is {text!r}")
    terminal.resize(44, 131)
    terminal.await_output("44 131")
    terminal.close()


def case_terminal_is_given_back(scene):
    """Raw while the group is shown, as before afterwards: when it is left, when the engine dies, when perdure is told to end."""
    terminal = run(scene, "/bin/sh", "-c", "printf '\\033[?1049hfull screen'; read line; sleep 1000")
    terminal.await_output("full screen")
    check(terminal.mode() == 0, "the terminal is not raw while a group is shown")
    terminal.type(DETACH)
    terminal.await_output("\x1b[?1049l")
    terminal.await_output("runs on")
    check(terminal.exit_status() == 0, f"exit status {terminal.exit_status()} after leaving")
    check(terminal.mode() != 0, "the terminal stays raw after leaving")
    terminal.close()

    terminal = Terminal(scene, "attach", scene.name, *scene.store())
    await_true(lambda: terminal.mode() == 0, "the terminal becomes raw")
    os.kill(terminal.pid, signal.SIGTERM)
    terminal.await_output("runs on")
    terminal.exit_status()
    check(terminal.mode() != 0, "the terminal stays raw after SIGTERM")
    terminal.close()

    terminal = Terminal(scene, "attach", scene.name, *scene.store())
    await_true(lambda: terminal.mode() == 0, "the terminal becomes raw")
    os.kill(engine_of(scene), signal.SIGKILL)
    terminal.await_output("engine")
    check(terminal.exit_status() not in (0, -9), f"exit status {terminal.exit_status()} after the engine died")
    check(terminal.mode() != 0, "the terminal stays raw after the engine died")
    terminal.close()


def engine_of(scene):
    return next(row for row in scene.perdure.json("ps", *scene.store()) if row["name"] == scene.name)["engine_pid"]


def case_terminal_is_left_and_found_again(scene):
    """What the program printed meanwhile is shown to who comes back; what is typed reaches it."""
    go = scene.workspace.path("go")
    terminal = run(scene, "/bin/sh", "-c", f"echo first; until [ -e {go} ]; do sleep 0.01; done; echo missed; read line; exit $line")
    terminal.await_output("first")
    terminal.type(DETACH)
    terminal.exit_status()
    terminal.close()
    with open(go, "w", encoding="utf-8"):
        pass
    terminal = Terminal(scene, "attach", scene.name, *scene.store())
    terminal.await_output("missed")
    terminal.type("5\r")
    check(terminal.exit_status() == 5, f"exit status {terminal.exit_status()}")
    terminal.close()


def case_terminal_survives_loss(scene):
    """The engine is killed and replaced, then the whole group is lost and restored: the program still has its terminal."""
    terminal = run(scene, "/bin/sh", "-c", "echo ready; while read line; do echo \"got $line\"; done; exit 9")
    terminal.await_output("ready")
    os.kill(engine_of(scene), signal.SIGKILL)
    terminal.exit_status()
    terminal.close()
    terminal = Terminal(scene, "attach", scene.name, *scene.store())
    await_true(lambda: terminal.mode() == 0, "the terminal becomes raw")
    terminal.type("after takeover\r")
    terminal.await_output("got after takeover")
    scene.perdure.checkpoint()
    scene.perdure.kill()
    terminal.exit_status()
    terminal.close()
    terminal = Terminal(scene, "restore", scene.name, *scene.store())
    await_true(lambda: terminal.mode() == 0, "the terminal becomes raw")
    terminal.type("after restore\r")
    terminal.await_output("got after restore")
    terminal.type("\x04")
    check(terminal.exit_status() == 9, f"exit status {terminal.exit_status()}")
    terminal.close()


def case_terminal_has_one_viewer(scene):
    first = run(scene, "/bin/sh", "-c", "echo ready; sleep 1000")
    first.await_output("ready")
    second = Terminal(scene, "attach", scene.name, *scene.store())
    second.await_output("in use")
    check(second.exit_status() != 0, "a second viewer is let in")
    second.close()
    first.type(DETACH)
    first.exit_status()
    first.close()
    check(alive(engine_of(scene)), "the engine ended with its viewer")


def case_terminal_that_a_daemon_leaves(scene):
    """A program that goes into the background and closes its terminal keeps nobody waiting."""
    terminal = run(scene, "/bin/sh", "-c", "setsid sleep 1000 <&- >&- 2>&- & sleep 0.1; echo bye")
    terminal.await_output("bye")
    terminal.await_output("runs on")
    check(terminal.exit_status() == 0, f"exit status {terminal.exit_status()}")
    check(alive(engine_of(scene)), "the group ended with its terminal")
    terminal.close()


main(globals())
