"""The perdure command, as scripts call it."""

import json
import re
import subprocess
import time


class PerdureFailed(Exception):
    pass


class Perdure:
    """program: the binary; store: the directory given to the verbs that take one."""

    def __init__(self, program, store):
        self.program, self.store = program, store

    def run(self, verb, *arguments, timeout=120):
        """Runs one verb; its standard output. A failure raises with what the command said."""
        line = [self.program, verb, *map(str, arguments)]
        done = subprocess.run(line, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout, check=False)
        if done.returncode != 0:
            said = done.stderr.strip() or done.stdout.strip()
            raise PerdureFailed(f"{' '.join(line)}\nexit status {done.returncode}: {said}")
        return done.stdout

    def timed(self, verb, *arguments, timeout=120):
        """Seconds from the command to its end."""
        begin = time.perf_counter()
        self.run(verb, *arguments, timeout=timeout)
        return time.perf_counter() - begin

    def start(self, name, command, options=()):
        self.run("run", "-d", "--name", name, "--store", self.store, *options, "--", *command)

    def checkpoint(self, name):
        return self.timed("checkpoint", name, "--wait")

    def restore(self, name, *options):
        return self.timed("restore", name, "-d", "--store", self.store, *options)

    def group(self, name):
        """The row of ps for a group; None if it does not run."""
        rows = json.loads(self.run("ps", "--json"))
        return next((row for row in rows if row["name"] == name), None)

    def epochs(self, name):
        return json.loads(self.run("log", name, "--store", self.store, "--json"))

    def metrics(self, name):
        """What ps --metrics says of a group: {name: value}, and the counts of stop windows by bound in "buckets"."""
        values, buckets = {}, {}
        for line in self.run("ps", "--metrics", "--store", self.store).splitlines():
            found = re.fullmatch(r'(\w+){group="([^"]*)",store="[^"]*"(?:,le="([^"]*)")?} (\S+)', line)
            if found and found[2] == name:
                (values if found[3] is None else buckets)[found[1] if found[3] is None else f"le={found[3]}"] = float(found[4])
        return {**values, "buckets": buckets}
