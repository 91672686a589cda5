"""The stage on which real programs play: they are started, driven as a user would, lost and brought back.

An app is a file with DRIVE(app): it starts programs through app.start(), checks what a user sees, and calls app.lose() at
any point. In native mode lose() does nothing, which shows that the checks themselves are right.
"""

import os
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from harness import DEADLINE_S, Failure, Perdure, Skip, Workspace, await_true, run_test  # noqa: E402


class App:
    def __init__(self, workspace, mode):
        self.workspace = workspace
        self.mode = mode
        self.perdure = None if mode == "native" else Perdure(workspace)
        self.native = None
        self.terminal = None
        self.command = None
        self.attached = mode == "attach"

    def path(self, *parts):
        return self.workspace.path(*parts)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def exists(self, name):
        return os.path.exists(self.path(name))

    def start(self, *command, **environment):
        """Starts the program in the background."""
        self.command = require(command[0]), *command[1:]
        if self.perdure and not self.attached:
            self.perdure.run(*self.command, **environment)
            return
        self.native = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=self.workspace.environment(**environment), start_new_session=True)
        self.workspace.adopt(self.native.pid)

    def start_in_terminal(self, *command, **environment):
        """Starts the program in the foreground of a terminal that we hold the other side of."""
        self.command = require(command[0]), *command[1:]
        if self.perdure:
            command = [self.perdure.binary, "run", "--name", self.workspace.group, *self.perdure.store_option(), "--",
                       *self.command]
        else:
            command = self.command
        self.open_terminal(command, environment)

    def open_terminal(self, command, environment):
        self.terminal = Terminal(command, self.workspace.environment(**environment))
        self.workspace.adopt(self.terminal.pid)

    def checkpoint(self):
        """Saves; the epoch, or None in native mode."""
        if not self.perdure:
            return None
        if self.attached and self.native:
            self.perdure.attach(self.native.pid)
        return self.perdure.checkpoint()

    def kill(self):
        if not self.perdure:
            return
        self.perdure.kill()
        if self.native:
            self.native.wait(timeout=10)
            self.native = None
        if self.terminal:
            self.terminal.close()

    def restore(self, epoch=None):
        if not self.perdure:
            return
        if not self.terminal:
            self.perdure.restore(epoch=epoch)
            return
        command = [self.perdure.binary, "restore", self.workspace.group, *self.perdure.store_option()]
        self.open_terminal(command, {})
        self.terminal.await_relay()

    def lose(self, after_save=None):
        """Saves, lets after_save() change what must be forgotten, loses everything, brings it back; the epoch."""
        epoch = self.checkpoint()
        if epoch is not None and after_save:
            after_save()
        self.kill()
        self.restore()
        return epoch

    def connect(self, name, timeout_s=DEADLINE_S):
        """A connection to a Unix socket of the program, as soon as it listens."""
        def attempt():
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(timeout_s)
            try:
                connection.connect(self.path(name))
                return connection
            except (ConnectionRefusedError, FileNotFoundError):
                connection.close()
                return None
        return await_true(attempt, f"{self.command[0]} listens at {name}")

    def ask(self, name, question):
        """One line to a Unix socket, everything that comes back until the program closes."""
        with self.connect(name) as connection:
            connection.sendall(question.encode() + b"\n")
            answer = b""
            while True:
                part = connection.recv(65536)
                if not part:
                    return answer.decode().strip()
                answer += part

    def end(self):
        if self.terminal:
            self.terminal.close()
        if self.perdure:
            self.perdure.remove()
        if self.native:
            self.workspace.end_processes()
            self.native.wait()


class Terminal:
    """A pseudo terminal with a program in it, and what it printed."""

    def __init__(self, command, environment):
        self.output = b""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], list(command), dict(environment, TERM="xterm", LINES="24", COLUMNS="80"))
        termios.tcsetwinsize(self.master, (24, 80))

    def type(self, text):
        for character in text:  # as a person would: programs treat pasted text differently
            os.write(self.master, character.encode())
            self.drain(0.002)

    def drain(self, wait_s=0.0):
        try:
            while select.select([self.master], [], [], wait_s)[0]:
                self.output += os.read(self.master, 65536)
        except OSError:
            pass  # hung up

    def await_relay(self):
        """Waits until perdure passes every key on: what is typed earlier is the terminal's own to interpret."""
        await_true(lambda: not termios.tcgetattr(self.master)[3] & termios.ICANON, "perdure shows the group's terminal")

    def await_output(self, text):
        def seen():
            self.drain(0.01)
            return text in re.sub(r"\x1b(\[[?>]?[0-9;]*[A-Za-z]|.)", "", self.output.decode(errors="replace"))
        await_true(seen, lambda: f"{text!r} appears in the terminal; last seen: {self.output[-300:]!r}")

    def close(self):
        if self.master < 0:
            return
        os.close(self.master)
        self.master = -1
        deadline = time.monotonic() + 3
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(self.pid, 9)
            time.sleep(0.005)


def require(program):
    found = program if "/" in program else shutil.which(program, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    if not found or not os.path.exists(found):
        raise Skip(f"{program} is not installed")
    return found


def check(condition, text):
    if not condition:
        raise Failure(text)


def check_equal(actual, expected, what):
    if actual != expected:
        raise Failure(f"{what} is {str(actual)[:300]!r}, not {str(expected)[:300]!r}")


def main(drive, name):
    mode = sys.argv[1] if len(sys.argv) > 1 else "native"

    def body():
        with Workspace(name) as workspace:
            app = App(workspace, mode)
            try:
                drive(app)
            except (Failure, OSError) as failure:
                shown = "\n".join(app.perdure.history[-6:]) if app.perdure else ""
                raise Failure(f"{type(failure).__name__}: {failure}\n{shown}".rstrip()) from failure
            finally:
                app.end()

    sys.exit(run_test(f"{name} ({mode})", body))
