"""The page of figures on a terminal, and the metrics."""

import errno
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time
import urllib.request

from scene import Failure, await_true, main

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


def check(condition, text):
    if not condition:
        raise Failure(text)


class Screen:
    """`perdure ps --watch` on a terminal of its own, and what it has drawn."""

    def __init__(self, scene, rows=20, columns=160):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.output = b""
        environment = dict(scene.workspace.environment(), LC_ALL="C.UTF-8")
        self.process = subprocess.Popen([scene.perdure.binary, "ps", "--watch", *scene.store()], stdin=self.slave,
                                        stdout=self.slave, stderr=self.slave, env=environment, start_new_session=True)
        scene.workspace.adopt(self.process.pid)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds=0.05):
        while select.select([self.master], [], [], seconds)[0]:
            self.output += os.read(self.master, 65536)

    def frames(self):
        self.read()
        return self.output.split(b"\x1b[H")[1:]

    def lines(self):
        """Of the last frame that is whole."""
        whole = [frame for frame in self.frames() if frame.endswith(b"\x1b[J")]
        return whole[-1][:-3].decode().replace("\x1b[K", "").split("\r\n") if whole else []

    def await_line(self, pattern):
        return await_true(lambda: next((line for line in self.lines() if re.search(pattern, line)), None),
                          f"a line shows {pattern}")

    def check_left(self, status=0):
        await_true(lambda: self.read() or self.process.poll() is not None, "the page ends")
        self.read()
        check(self.process.returncode == status, f"it ended with {self.process.returncode}: {self.output[-300:]}")
        check(self.output.startswith(ENTER) and self.output.rstrip().endswith(LEAVE), f"it left {self.output[-100:]}")
        check(self.output.count(b"\x1b[?25l") == self.output.count(b"\x1b[?25h") == 1, "the cursor is not shown again")
        check(termios.tcgetattr(self.slave) == self.before, "the terminal is not as it was")
        os.close(self.master)
        os.close(self.slave)


def case_watch_shows_figures_on_a_terminal(scene):
    scene.perdure.call("run", "-d", "--name", scene.name, "--every", "20ms", *scene.store(), "--", "/bin/sleep", "1000")
    screen = Screen(scene)

    def row():
        return re.split(r" {2,}", screen.await_line(rf"^{re.escape(scene.name)} +running +20ms"))

    await_true(lambda: float(row()[3]) > 1, "epochs are made")
    cells = row()
    for cell in cells[4:7]:
        check(re.fullmatch(r"[\d.]+ (us|ms)", cell), f"{cell} is no stop window: {cells}")
    # Windows of no epoch leave blanks between the bars.
    check(re.fullmatch("[▁▂▃▄▅▆▇█ ]+", cells[13]) and "█" in "".join(cells[13:]), f"no histogram: {cells}")
    titles = screen.await_line("GROUP")
    for title in ("EPOCHS/s", "p50", "p99", "max", "DIRTY", "LAG", "MISSED", "STORE"):
        check(title in titles, f"no column {title}: {titles}")
    check(b"\x1b[2J" not in screen.output, "the screen is cleared between frames")
    scene.perdure.call("pause", scene.name, *scene.store())
    screen.await_line(rf"^{re.escape(scene.name)} +running +paused")
    scene.perdure.kill()
    screen.await_line(rf"^{re.escape(scene.name)} +(lost|ended)")
    os.write(screen.master, b"xq")
    screen.check_left()


def case_watch_follows_the_size_of_a_terminal(scene):
    scene.group()
    screen = Screen(scene)
    screen.await_line(scene.name)
    for rows, columns in ((5, 40), (2, 10), (50, 200), (1, 1)):
        screen.resize(rows, columns)

        def fits(rows=rows, columns=columns):
            lines = screen.lines()
            return len(lines) <= rows and all(len(line) <= columns for line in lines) and (rows < 50 or "STORE" in "".join(lines))

        await_true(fits, f"the page fits {rows} rows of {columns} columns")
    os.write(screen.master, b"\x03")
    screen.check_left()


def case_watch_leaves_a_terminal_at_signals(scene):
    scene.group()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        screen = Screen(scene)
        screen.await_line(scene.name)
        screen.process.send_signal(number)
        screen.check_left()


def case_watch_outlives_a_stopped_engine_on_a_terminal(scene):
    """An engine that does not answer is busy, and does not hold the page up."""
    scene.group()
    engine = scene.perdure.json("ps", *scene.store())[0]["engine_pid"]
    screen = Screen(scene)
    screen.await_line(rf"^{re.escape(scene.name)} +running")
    os.kill(engine, signal.SIGSTOP)
    try:
        screen.await_line(rf"^{re.escape(scene.name)} +busy")
        began = time.monotonic()
        os.write(screen.master, b"q")
        screen.check_left()
        check(time.monotonic() - began < 2, "the page held the key up")
    finally:
        os.kill(engine, signal.SIGCONT)


def case_ps_shows_how_a_group_is_saved(scene):
    scene.perdure.call("run", "-d", "--name", scene.name, "--every", "20ms", *scene.store(), "--", "/bin/sleep", "1000")

    def saved():
        figures = scene.perdure.json("ps", *scene.store())[0]["periodic"]
        return figures if figures["durable"] > 3 else None

    figures = await_true(saved, "epochs are made")
    check(figures["period_ns"] == 20_000_000 and not figures["paused"] and figures["failures"] == 0, f"ps shows {figures}")
    check(0 < figures["stop_p50_us"] <= figures["stop_p99_us"] <= figures["stop_max_us"], f"the stop windows are {figures}")
    table = scene.perdure.call("ps", *scene.store()).stdout
    check("EVERY" in table and re.search(r"  20ms.*  [\d.]+ [mu]s  ", table), f"the table is\n{table}")


def case_metrics_are_printed(scene):
    check("perdure_processes{" not in scene.perdure.call("ps", "--metrics", *scene.store()).stdout, "metrics of no group")
    scene.group()
    scene.perdure.checkpoint()
    scene.perdure.checkpoint()
    text = scene.perdure.call("ps", "--metrics", *scene.store()).stdout
    labels = re.escape(f'{{group="{scene.name}",store="{scene.workspace.store}"}}')
    for name, value in (("epochs_captured_total", "2"), ("epochs_durable_total", "2"), ("stop_window_seconds_count", "2"),
                        ("processes", "1"), ("failures_total", "0"), ("period_seconds", "0")):
        check(re.search(rf"^perdure_{name}{labels} {value}$", text, re.M), f"no {name} of {value}:\n{text}")
    for line in text.splitlines():
        check(re.match(r"# (HELP|TYPE) perdure_\w+ \S|perdure_\w+\{[^{}]*\} \S+$", line), f"this is no metric: {line}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def scrape(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def start_with_port(scene, port):
    scene.perdure.call("run", "-d", "--name", scene.name, "--every", "20ms", "--metrics-port", port, *scene.store(), "--",
                       "/bin/sleep", "1000")


def case_metrics_are_served(scene):
    """To this machine, while epochs are made; a later engine serves them again, until it is told otherwise."""
    port = free_port()
    start_with_port(scene, port)
    await_true(lambda: scene.perdure.json("ps", *scene.store())[0]["periodic"]["durable"] > 3, "epochs are made")
    kind, text = scrape(port)
    check(kind.startswith("text/plain; version=0.0.4"), f"the type is {kind}")
    own = {line.split("{")[0] for line in text.splitlines() if line.startswith("perdure_")}
    printed = scene.perdure.call("ps", "--metrics", *scene.store()).stdout
    also = {line.split("{")[0] for line in printed.splitlines() if line.startswith("perdure_")}
    check(also - own == {"perdure_store_bytes"} and own <= also, f"ps prints {also}, the port {own}")
    captured = int(re.search(r"^perdure_epochs_captured_total\{[^}]*\} (\d+)$", text, re.M).group(1))
    check(captured > 3, f"{captured} epochs")
    await_true(lambda: f" {captured}\n" not in scrape(port)[1].partition("perdure_epochs_captured_total{")[2], "the count goes on")
    scene.perdure.kill()
    scene.perdure.restore()
    check(f'group="{scene.name}"' in scrape(port)[1], "the engine of a restore serves nothing")
    scene.perdure.kill()
    scene.perdure.restore(extra=["--metrics-port", 0])
    check(scene.perdure.json("ps", *scene.store())[0]["metrics_port"] is None, "ps shows a port that was given up")
    with socket.socket() as probe:
        check(probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED, "somebody listens")


def case_metrics_port_in_use(scene):
    """Is told before anything is begun; later it keeps no group from coming back."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        scene.refuse(["run", "-d", "--name", scene.name, "--metrics-port", port, *scene.store(), "--", "/bin/sleep", "5"],
                     [str(port), "in use", "--metrics-port 0"])
        check(not os.path.exists(os.path.join(scene.workspace.store, scene.name)), "a group is left")
    start_with_port(scene, port)
    check(scene.perdure.json("ps", *scene.store())[0]["metrics_port"] == port, "ps does not show the port")
    scene.perdure.kill()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        scene.perdure.restore()
        check(scene.perdure.json("ps", *scene.store())[0]["metrics_port"] is None, "two listen at one port")
    with open(os.path.join(scene.workspace.store, scene.name, "engine.log"), encoding="utf-8") as log:
        check(f"metrics port {port}" in log.read(), "engine.log does not tell why there are no figures")


main(globals())
