#!/usr/bin/env python3
"""clang-tidy on every source of src/, but not again on one that passed as it is.

clang_tidy.py BUILD   BUILD has compile_commands.json; what passed is noted in BUILD/tidied

A source is as it was if clang makes the same of it with all that it includes, comments too, and neither .clang-tidy
nor clang-tidy is another one. What was found is printed; exit status 1 if there is any.
"""

import argparse
import concurrent.futures
import hashlib
import json
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIDY = "clang-tidy-14"
WORKERS = 2


def read_commands(build):
    """The compiler's command and folder for each source that is checked."""
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = Path(entry["file"])
        if source.is_relative_to(ROOT / "src") and source.suffix == ".cc" and not source.stem.endswith("_fuzz"):
            commands[source] = (shlex.split(entry["command"]), entry["directory"])
    return commands


def preprocess(command, directory):
    """What the compiler makes of a source, with comments and without line numbers; None if it cannot."""
    target = command.index("-o")
    asked = [word for word in command[:target] + command[target + 2 :] if word != "-c"]
    made = subprocess.run(asked + ["-E", "-P", "-C"], cwd=directory, capture_output=True, check=False)
    return made.stdout.replace(str(ROOT).encode(), b"") if made.returncode == 0 else None


class Checker:
    def __init__(self, build):
        self._build = build
        self._passed = build / "tidied"
        self._passed.mkdir(exist_ok=True)
        version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
        self._rules = version + (ROOT / ".clang-tidy").read_bytes()

    def _note(self, source, text):
        """The file that is there if this source passed."""
        name = hashlib.sha256(self._rules + str(source.relative_to(ROOT)).encode() + text).hexdigest()
        return self._passed / name

    def check(self, source, command, directory):
        """What was found, or None if it passed before."""
        text = preprocess(command, directory)
        note = self._note(source, text) if text is not None else None
        if note is not None and note.exists():
            note.touch()
            return None
        ran = subprocess.run(
            [TIDY, "-p", str(self._build), "--quiet", str(source)], capture_output=True, text=True, check=False
        )
        if ran.returncode != 0:
            return ran.stdout or ran.stderr or f"{source}: {TIDY} failed"
        if note is not None:
            note.touch()
        return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    build = parser.parse_args().build.resolve()
    checker = Checker(build)
    commands = read_commands(build)
    if not commands:
        sys.exit(f"{build}/compile_commands.json names no source of src/: configure it first")
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        results = pool.map(lambda item: checker.check(item[0], *item[1]), sorted(commands.items()))
        found = skipped = 0
        for result in results:
            skipped += result is None
            found += bool(result)
            if result:
                print(result, flush=True)
    print(f"{len(commands)} sources, {skipped} of them as they were when they passed; {found} with findings")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
