"""An interactive bash in a terminal: variables, history, a stopped and a running job, control-C."""

from app import await_true, check_equal, main


def drive(app):
    app.start_in_terminal("bash", "--norc", "--noprofile", "-i", PS1="prompt> ", HISTFILE="/dev/null")
    terminal = app.terminal
    terminal.await_output("prompt> ")
    terminal.type(f"cd {app.workspace.folder}\r")
    terminal.type("answer=42; sleep 1001 & sleep 1002\r")
    await_true(lambda: running(app, "1002"), "the second sleep runs")
    terminal.type("\x1a")  # control-Z stops it
    terminal.await_output("Stopped")
    terminal.type("cat > typed.txt\r")
    await_true(lambda: app.exists("typed.txt"), "cat runs in the foreground")
    app.lose()

    terminal = app.terminal
    terminal.type("text from the other side\r")
    terminal.output = b""
    terminal.type("\x04")
    terminal.await_output("prompt> ")
    await_true(lambda: app.read("typed.txt"), "cat writes what was typed")
    check_equal(app.read("typed.txt"), "text from the other side\n", "what cat read")
    terminal.type("jobs > jobs.txt; echo $answer $(history | wc -l) > state.txt\r")
    await_true(lambda: app.exists("state.txt") and app.read("state.txt"), "bash answers")
    jobs = app.read("jobs.txt")
    check_equal(("Running" in jobs, "Stopped" in jobs), (True, True), f"the jobs, {jobs!r}: running and stopped")
    check_equal(app.read("state.txt").split()[0], "42", "the variable")
    terminal.type("fg %2\r")
    terminal.await_output("sleep 1002")
    # bash hands the terminal over before it lets the job go on.
    await_true(lambda: state(running(app, "1002")) == "S", "the second sleep goes on in the foreground")
    terminal.type("\x03")
    terminal.type("echo $? > status.txt\r")
    await_true(lambda: app.exists("status.txt") and app.read("status.txt"), "bash reports the status")
    check_equal(app.read("status.txt"), "130\n", "the status of the interrupted job")
    terminal.type("kill %1; exit\r")


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0]


def running(app, argument):
    for pid in app.workspace.pids():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read().split(b"\0")[:2] == [b"sleep", argument.encode()]:
                    return pid
        except OSError:
            continue
    return None


main(drive, "shell_terminal")
