#!/usr/bin/env python3
"""The rules of the code base that a machine can check.

tidy.py             checks the tree; one line per finding, exit status 1 if there is any
tidy.py --report    also prints the sizes (median, 90th percentile, maximum) beside what we aim at
tidy.py --self-test checks the checks: each is given code that breaks its rule, and code that keeps it
"""

import argparse
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What each folder of src/ may include besides itself (ARCHITECTURE.md draws this).
_RECORDS = {"base", "kernel", "object"}
_ENGINE = _RECORDS | {"store", "memory", "capture", "restore", "engine"}
LAYERS = {
    "base": set(),
    "kernel": {"base"},
    "object": {"base"},
    "store": {"base", "kernel"},
    "memory": {"base", "kernel", "object"},
    "capture": _RECORDS | {"memory"},
    "restore": _RECORDS | {"memory", "store"},  # which of an epoch's pages differ from those inherited through fork
    "engine": _ENGINE - {"engine"},
    "api": _ENGINE,
    "daemon": _ENGINE,
    "cli": _ENGINE | {"api", "daemon"},
}

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 150
HEADER_LINES_AIM = 110
FILE_LINES_AIM = 150
FUNCTION_LINES_AIM = 10

# A file of this name in capture/ needs one of the same name in restore/, and the other way round: the columns of the
# matrix of kinds. Files of these folders that are no kinds (steps of the story) are found by having no such word.
KINDS = {
    "regular_file", "file", "pipe", "fifo", "unix_socket", "tcp_listener", "device", "standard_stream", "pty", "terminal",
    "eventfd", "epoll", "timerfd", "signalfd", "memfd", "pidfd", "inotify", "tcp_socket", "udp_socket", "io_uring",
}

BANNED = [
    (r"\b(?:strcpy|strcat|sprintf|vsprintf|gets|strtok|alloca)\s*\(", "is unbounded or not re-entrant"),
    (r"(?:^|[;({=!&|]|\breturn)\s*(?:std::|::)?system\s*\(", "runs a shell"),
    (r"\bpopen\s*\(", "runs a shell"),
    (r"\brand\s*\(\s*\)", "is not replayable; use base/random"),
    (r"std::format\b|#include <(?:format|expected|source_location)>", "is absent in this toolchain"),
    (r"\bgoto\s+\w+;", "hides the flow"),
    (r"\bstd::(?:cout|cerr|endl)\b", "is unbuffered or locale bound; use fmt"),
    (r"\busing namespace std\b", "is ambiguous to a reader"),
]
EXCEPTIONS = r"\b(?:throw|try|catch)\b"
ALLOCATION = r"(?<![\w.])(?:new\s+[A-Za-z_:(]|delete\s+[A-Za-z_*(]|delete\[\])"
SYSTEM_CALLS = (r"(?<![\w.>:])(?:::)?(?:syscall|ptrace|open|openat|read|write|ioctl|mmap|munmap|fork|clone|kill|waitpid|"
                r"prctl|socket|readlink|stat|fstat)\s*\(")
RAW_CALLS = r"(?<![\w.>:])(?:::)?(?:syscall|ptrace)\s*\("
MARKS = r"\b(?:TODO|FIXME|XXX|HACK)\b"
MACHINE_PATHS = r"(?<![\w/.}\"])(?:/work|/home/[a-z]+|/root)/"
TESTED_FOLDERS = {"base", "kernel", "object", "store", "memory"}


class Finding:
    def __init__(self, path, line, text):
        self.path, self.line, self.text = path, line, text

    def __str__(self):
        return f"tidy: {self.path}:{self.line}: {self.text}"


def strip_code(text):
    """The same lines without comments and with empty string literals, so that rules see code alone."""
    def blank(match):
        body = match.group(0)
        if body.startswith(("//", "/*")):
            return re.sub(r"[^\n]", "", body)
        if body.startswith("R\"") or body.startswith('"'):
            return '"' + re.sub(r"[^\n]", "", body) + '"'
        return "' '" if body.startswith("'") else body
    pattern = (r'R"([^()\\ ]{0,16})\((?:.|\n)*?\)\1"|//[^\n]*|/\*(?:.|\n)*?\*/|"(?:\\.|[^"\\\n])*"|'
               r"(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'")
    return re.sub(pattern, blank, text)


def functions_of(code):
    """(first line, number of lines) of each function body of stripped, clang-formatted code."""
    found = []
    opening = None
    depth_of_opening = 0
    depth = 0
    header = ""
    for number, line in enumerate(code.split("\n"), 1):
        bare = line.strip()
        if opening is None and bare and not bare.startswith("#"):
            header = (header + " " + bare)[-2000:]
        for character in line:
            if character == "{":
                if opening is None and is_function_header(header):
                    opening, depth_of_opening = number, depth
                depth += 1
            elif character == "}":
                depth -= 1
                if opening is not None and depth == depth_of_opening:
                    found.append((opening, number - opening + 1))
                    opening, header = None, ""
        if opening is None and bare.endswith((";", "}", "{", ":")):
            header = ""
    return found


def is_function_header(header):
    head = header[:header.rfind("{")] if "{" in header else header
    if re.search(r"^\s*(?:template\s*<.*>\s*)?(?:class|struct|enum|union|namespace|extern)\b", head) and "(" not in head:
        return False
    return "(" in head and not re.search(r"=\s*$", head) and bool(
        re.search(r"\)\s*(?:const|noexcept|override|final|mutable|&&?|->\s*[\w:<>*&, ]+|requires\b.*|:\s*.*)*\s*$", head))


def layer_of(path):
    parts = path.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "src" else None


def check_layers(path, text):
    layer = layer_of(path)
    if layer is None:
        return
    if layer not in LAYERS:
        yield Finding(path, 1, f"folder {layer} is no layer of tools/tidy.py")
        return
    for number, line in enumerate(text.split("\n"), 1):
        include = re.match(r'\s*#\s*include\s+"([a-z_]+)/', line)
        if not include:
            continue
        target = include.group(1)
        if target in LAYERS and target != layer and target not in LAYERS[layer]:
            yield Finding(path, number, f"{layer}/ may not include {target}/")


def check_size(path, text):
    lines = text.count("\n")
    if lines > FILE_LINES_MAX:
        yield Finding(path, 1, f"{lines} lines; the most is {FILE_LINES_MAX}: split it by idea")
    for first, length in functions_of(strip_code(text)):
        if length > FUNCTION_LINES_MAX:
            yield Finding(path, first, f"a function of {length} lines; the most is {FUNCTION_LINES_MAX}")


def is_product(path):
    return path.startswith(("src/", "include/"))


def check_banned(path, text):
    if not is_product(path):
        return
    rules = list(BANNED)
    layer = layer_of(path)
    if layer != "cli":
        rules.append((EXCEPTIONS, "is an exception; return a Result"))
    if not path.endswith("_test.cc") and "/test_" not in path:
        rules.append((ALLOCATION, "owns by hand; use a value or std::make_unique"))
        if layer != "kernel":
            rules.append((RAW_CALLS, "is a system call; wrap it in kernel/"))
        if layer == "object":
            rules.append((SYSTEM_CALLS, "is a system call; object/ makes none"))
    # A smart pointer that takes a private constructor's `new` at once owns it.
    owned = re.sub(r"((?:unique|shared)_ptr<[^;()]*>\s*\w*\(\s*)new ", r"\1", strip_code(text))
    for number, line in enumerate(owned.split("\n"), 1):
        if re.search(r"=\s*(?:delete|default)\s*;|operator (?:new|delete)", line):
            continue
        for pattern, why in rules:
            match = re.search(pattern, line)
            if match:
                yield Finding(path, number, f"`{match.group(0).strip()}` {why}")


def check_opening(path, text):
    """A file of ours opens with what it is."""
    if is_product(path) and path.endswith((".h", ".cc")) and not path.endswith(("_test.cc", "_fuzz.cc")):
        first = text.lstrip().split("\n", 1)[0]
        if path.endswith(".h") and not first.startswith(("//", "/*")):
            yield Finding(path, 1, "opens without a comment that says what it is")
        if path.endswith(".h") and path.startswith("src/") and "#pragma once" not in text:
            yield Finding(path, 1, "has no #pragma once")


def check_words(path, text):
    if path.startswith(("tools/tidy.py", "LICENSE")):
        return
    for number, line in enumerate(text.split("\n"), 1):
        mark = re.search(MARKS, line)
        if mark:
            yield Finding(path, number, f"{mark.group(0)}: finish it, or describe the limit in words")
        here = re.search(MACHINE_PATHS, line)
        if here:
            yield Finding(path, number, f"{here.group(0)} is a path of one machine")


def check_links(path, text):
    if not path.endswith(".md"):
        return
    fenced = False
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("```"):
            fenced = not fenced
        if fenced:
            continue
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", line):
            if not re.match(r"[a-z]+:", target) and not (ROOT / path).parent.joinpath(target).exists():
                yield Finding(path, number, f"links to {target}, which does not exist")


def check_matrix(paths):
    """A descriptor kind is saved in capture/ and brought back in restore/ by files of one name."""
    def kinds(folder):
        stems = {Path(p).stem for p in paths if p.startswith(f"src/{folder}/") and p.endswith(".cc")}
        return {s for s in stems if s in KINDS}
    saved, restored = kinds("capture"), kinds("restore")
    for kind in sorted(saved - restored):
        yield Finding(f"src/capture/{kind}.cc", 1, f"src/restore/{kind}.cc is missing: what is saved must come back")
    for kind in sorted(restored - saved):
        yield Finding(f"src/restore/{kind}.cc", 1, f"src/capture/{kind}.cc is missing: nothing saves what this restores")


FILE_CHECKS = [check_layers, check_size, check_banned, check_opening]
TEXT_CHECKS = [check_words, check_links]


def tracked_files():
    """What git tracks or would; in a source archive, or without git, every file outside of build directories."""
    try:
        done = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True,
                              capture_output=True, check=False)
        listed = done.stdout.split("\0") if done.returncode == 0 else []
    except FileNotFoundError:
        listed = []
    if not listed:
        listed = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")]
        listed = [p for p in listed if not p.startswith(("build", ".")) and "__pycache__" not in p]
    return sorted(p for p in listed if p and (ROOT / p).is_file())


def check_tree(paths):
    for path in paths:
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if not path.startswith(("tests/corpus/", "tests/golden/")):
            for check in TEXT_CHECKS:
                yield from check(path, text)
        if path.endswith((".cc", ".h")):
            for check in FILE_CHECKS:
                yield from check(path, text)
    yield from check_matrix(paths)


def distribution(values):
    if not values:
        return "-"
    ordered = sorted(values)
    return (f"median {statistics.median(ordered):.0f}, 90th percentile {ordered[int(0.9 * (len(ordered) - 1))]}, "
            f"maximum {ordered[-1]}")


def report(paths):
    sources = [p for p in paths if p.startswith("src/") and p.endswith((".cc", ".h"))]
    texts = {p: (ROOT / p).read_text() for p in sources}
    product = [p for p in sources if not p.endswith(("_test.cc", "_fuzz.cc"))]
    tests = [p for p in paths if p.endswith(("_test.cc", "_fuzz.cc")) or
             (p.startswith("tests/") and p.endswith((".cc", ".c", ".h", ".py", ".sh")))]
    functions = [length for p in product for _, length in functions_of(strip_code(texts[p]))]
    product_lines = sum(texts[p].count("\n") for p in product)
    test_lines = sum((ROOT / p).read_text().count("\n") for p in tests)
    comments = sum(len(re.findall(r"^\s*//", texts[p], re.M)) for p in product)
    assertions = sum(texts[p].count("PD_ASSERT") for p in product)
    print(f"files      {distribution([texts[p].count(chr(10)) for p in product if p.endswith('.cc')])}"
          f"   (aim: {FILE_LINES_AIM} / 400)")
    print(f"headers    {distribution([texts[p].count(chr(10)) for p in product if p.endswith('.h')])}"
          f"   (aim: at most {HEADER_LINES_AIM})")
    print(f"functions  {distribution(functions)}   (aim: {FUNCTION_LINES_AIM} / 35); over 70 lines: "
          f"{100 * sum(f > 70 for f in functions) / max(1, len(functions)):.1f} % (aim: 2 %)")
    print(f"code {product_lines} lines, tests {test_lines}, tests:code {test_lines / max(1, product_lines):.2f} "
          f"(aim: 0.8); comment lines {100 * comments / max(1, product_lines):.0f} %; {assertions} assertions")
    for path in product:
        if path.endswith(".cc") and layer_of(path) in TESTED_FOLDERS and path[:-3] + "_test.cc" not in paths:
            print(f"no test beside it: {path}")


def expect(condition, claim, failures):
    if not condition:
        failures.append(claim)


def self_test():
    failures = []

    def hits(check, path, text):
        return len(list(check(path, text)))

    for path, line, bad in [
            ("src/capture/a.cc", '#include "restore/b.h"', 1), ("src/restore/a.cc", '#include "capture/b.h"', 1),
            ("src/store/a.cc", '#include "object/process.pb.h"', 1), ("src/memory/a.cc", '#include "store/store.h"', 1),
            ("src/base/a.cc", '#include "kernel/sys.h"', 1), ("src/odd/a.cc", "", 1),
            ("src/engine/a.cc", '#include "capture/b.h"', 0), ("src/cli/a.cc", '#include "daemon/b.h"', 0)]:
        expect(hits(check_layers, path, line) == bad, f"layers: {path} {line}", failures)

    for line, bad in [
            ("strcpy(a, b);", 1), ("int n = sprintf(a, b);", 1), ("system(command);", 1), ("throw 1;", 1),
            ("auto* a = new Thing(1);", 1), ("delete a;", 1), ("Thing(const Thing&) = delete;", 0),
            ("// strcpy( and throw in a comment", 0), ('log("try new things");', 0), ("file_system(x);", 0), ("return Error::system(errno, x);", 0),
            ("ptrace(PTRACE_CONT, tid, 0, 0);", 1), ("tracee.ptrace(request);", 0),
            ("uint64_t new_size = 1;", 0),
            ("std::unique_ptr<Thing> thing(new Thing(1));", 0), ("std::format(x)", 1), ("snprintf(a, 1, b);", 0), ("x = 1'000'000; throw;", 1)]:
        expect(hits(check_banned, "src/engine/a.cc", line) == bad, f"banned: {line}", failures)
    expect(hits(check_banned, "src/cli/a.cc", "try { } catch (...) { }") == 0, "cli may meet exceptions", failures)
    expect(hits(check_banned, "src/object/a.cc", "int fd = open(path, 0);") == 1, "object makes no system calls", failures)
    expect(hits(check_banned, "src/object/a.cc", "file.open(path);") == 0, "a method is no system call", failures)

    body = "".join(f"  step({i});\n" for i in range(20))
    code = ("namespace x {\nclass A {\n public:\n  int f() const { return 1; }\n};\n\n"
            f"Result<int> A::g(int a,\n    int b) {{\n{body}}}\n\nstruct B {{\n  int c = 0;\n}};\n}}\n")
    sizes = [length for _, length in functions_of(strip_code(code))]
    expect(sizes == [1, 22], f"function sizes are found: {sizes}", failures)
    long_function = "void f() {\n" + "  g();\n" * (FUNCTION_LINES_MAX + 1) + "}\n"
    expect(hits(check_size, "src/base/a.cc", long_function) == 1, "a long function is found", failures)
    expect(hits(check_size, "src/base/a.cc", "int a;\n" * (FILE_LINES_MAX + 1)) == 1, "a long file is found", failures)

    expect(len(list(check_matrix(["src/capture/eventfd.cc"]))) == 1, "a kind without restore is found", failures)
    expect(len(list(check_matrix(["src/restore/pipe.cc"]))) == 1, "a kind without capture is found", failures)
    expect(not list(check_matrix(["src/capture/pipe.cc", "src/restore/pipe.cc", "src/capture/freeze.cc"])),
           "a full row passes", failures)
    expect(hits(check_words, "src/a.cc", "// TO" + "DO: later") == 1, "marks are found", failures)
    expect(hits(check_links, "README.md", "[a](no/such/file.md) [b](https://example.org)") == 1, "dead links", failures)
    expect(hits(check_opening, "src/base/a.h", "#pragma once\n") == 1, "a bare header is found", failures)
    for claim in failures:
        print(f"tidy: self-test failed: {claim}")
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--report", action="store_true", help="print sizes and files without a test")
    parser.add_argument("--self-test", action="store_true", help="check the checks")
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    paths = tracked_files()
    if options.report:
        report(paths)
    findings = list(check_tree(paths))
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
