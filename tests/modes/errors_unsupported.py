"""Descriptors that cannot be saved: refused by name before a byte is stored, and the group runs on."""

import os
import socket

from scene import Failure, await_true, main, python, waits


UNSUPPORTED = {
    "inotify": "import ctypes; fd = ctypes.CDLL(None).inotify_init()",
    "udp": "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0)); fd = s.fileno()",
    "tcp": "import socket; l = socket.create_server(('127.0.0.1', 0)); s = socket.create_connection(l.getsockname()); "
           "fd = s.fileno()",
    "netlink": "import socket; s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); fd = s.fileno()",
    "namespace": "import os; fd = os.open('/proc/self/ns/net', os.O_RDONLY)",
    "pidfd": "import os; fd = os.pidfd_open(os.getppid())",
}


def refused_descriptor(scene, code):
    """A descriptor of this kind: refused by name at every checkpoint; after it is closed, the group is saved."""
    os.mkdir(scene.workspace.path("io"))
    pid = scene.group(*python(f"{code}\nimport os, time\nopen('{scene.workspace.path('io', 'fd')}', 'w').write(str(fd))\n"
                              "time.sleep(1000)"))
    path = scene.workspace.path("io", "fd")
    await_true(lambda: os.path.exists(path) and os.path.getsize(path), "the program has its descriptor")
    with open(path, encoding="utf-8") as file:
        fd = file.read()
    await_true(lambda: waits(pid), "the program sleeps")
    link = os.readlink(f"/proc/{pid}/fd/{fd}")
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        inner = next(line for line in file if line.startswith("NSpid:")).split()[-1]
    for _ in range(2):
        scene.refuse(["checkpoint", "--wait", scene.name, *scene.store()], [f"pid {inner} (python3) fd {fd}", link, "cannot be saved"],
                     pid=pid)
    if scene.perdure.epochs():
        raise Failure("a refused checkpoint left an epoch")


def case_unsupported_late(scene):
    """Refused before a byte is stored even if the engine has entered the group before, as it does soon after its start."""
    refused_descriptor(scene, f"import time; held = bytearray(8 << 20); time.sleep(0.4); {UNSUPPORTED['inotify']}")


def case_unsupported_inotify(scene):
    refused_descriptor(scene, UNSUPPORTED["inotify"])


def case_unsupported_udp(scene):
    refused_descriptor(scene, UNSUPPORTED["udp"])


def case_unsupported_tcp(scene):
    refused_descriptor(scene, UNSUPPORTED["tcp"])


def case_unsupported_netlink(scene):
    refused_descriptor(scene, UNSUPPORTED["netlink"])


def case_unsupported_namespace_file(scene):
    refused_descriptor(scene, UNSUPPORTED["namespace"])


def case_unsupported_pidfd(scene):
    refused_descriptor(scene, UNSUPPORTED["pidfd"])


def case_client_of_outside_server(scene):
    server = socket.socket(socket.AF_UNIX)
    server.bind(scene.workspace.path("outside.sock"))
    server.listen()
    refused_descriptor(scene, f"import socket; s = socket.socket(socket.AF_UNIX); "
                              f"s.connect('{scene.workspace.path('outside.sock')}'); fd = s.fileno()")


main(globals())
