"""Rows of figures: what was measured, the target if there is one, and whether it is met."""

import json
import os
import platform
import statistics
import time


class Row:
    """values: one figure per repetition, all in unit; the median is compared with the target.

    target: it is to be at most this; at_least: or at least that.
    """

    def __init__(self, name, values, unit, target=None, note="", at_least=None):
        self.name, self.values, self.unit, self.note = name, list(values), unit, note
        self.target, self.more_is_better = (target, False) if at_least is None else (at_least, True)

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def verdict(self):
        if self.target is None:
            return ""
        met = self.median >= self.target if self.more_is_better else self.median <= self.target
        return "pass" if met else "MISS"

    @property
    def worst(self):
        return min(self.values) if self.more_is_better else max(self.values)

    def as_dict(self):
        return {"name": self.name, "unit": self.unit, "median": self.median, "worst": self.worst,
                "repetitions": len(self.values), "target": self.target,
                "ratio": self.median / self.target if self.target else None, "verdict": self.verdict or None,
                "note": self.note}


def print_table(rows):
    width = max(len(row.name) for row in rows)
    print(f"\n{'measure':<{width}}  {'median':>9} {'worst':>9} {'unit':<4} {'target':>8} {'ratio':>6}  verdict")
    for row in rows:
        target = f"{'>=' if row.more_is_better else ''}{row.target:.1f}".rjust(8) if row.target else " " * 8
        ratio = f"{row.median / row.target:6.2f}" if row.target else " " * 6
        print(f"{row.name:<{width}}  {row.median:9.2f} {row.worst:9.2f} {row.unit:<4} {target} {ratio}  "
              f"{row.verdict}{'  ' if row.note else ''}{row.note}".rstrip())


def machine():
    return {"kernel": platform.release(), "cpus": os.cpu_count(), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def write_json(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"machine": machine(), "rows": [row.as_dict() for row in rows]}, file, indent=2)
        file.write("\n")


def spawn_and_wait(line, directory):
    """Seconds from the start of a command to its end, and what it printed.

    posix_spawn, so that this process's size does not count; output goes to a file, so that nobody has to read a pipe.
    """
    path = os.path.join(directory, "output")
    actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
               (os.POSIX_SPAWN_OPEN, 1, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600),
               (os.POSIX_SPAWN_DUP2, 1, 2)]
    begin = time.perf_counter()
    pid = os.posix_spawn(line[0], line, os.environ, file_actions=actions)
    _, status = os.waitpid(pid, 0)
    seconds = time.perf_counter() - begin
    with open(path, encoding="utf-8", errors="replace") as file:
        output = file.read()
    if status != 0:
        raise RuntimeError(f"{' '.join(line)}: status {os.waitstatus_to_exitcode(status)}: {output[-2000:].strip()}")
    return seconds, output


def memory_kib(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise RuntimeError(f"no {field} for process {pid}")
