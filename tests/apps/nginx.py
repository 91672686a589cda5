"""nginx: master and workers with a listening TCP socket serve files after the restore, and obey signals."""

import os
import signal
import socket
import urllib.error
import urllib.request

from app import await_true, check, check_equal, main

CONFIGURATION = """
daemon off;
user root;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/tmp1; proxy_temp_path {folder}/tmp2; fastcgi_temp_path {folder}/tmp3;
  uwsgi_temp_path {folder}/tmp4; scgi_temp_path {folder}/tmp5;
  limit_req_zone $binary_remote_addr zone=limit:1m rate=1000r/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ root {folder}/www; limit_req zone=limit burst=100; }}
  }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def drive(app):
    port = free_port()
    os.mkdir(app.path("www"))
    app.write("www/page", "a page\n" * 1000)
    app.write("nginx.conf", CONFIGURATION.format(folder=app.workspace.folder, port=port))
    app.start("nginx", "-p", app.workspace.folder, "-c", app.path("nginx.conf"))

    def fetch(name):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=5) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def connections():
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [line.split() for line in table][1:]
        # 0A is listening; 06 (TIME_WAIT) belongs to no process.
        return [row for row in rows if row[1].endswith(f":{port:04X}") and row[3] not in ("0A", "06")]

    await_true(lambda: fetch("page"), "nginx serves the page")
    for round_number in range(2):
        await_true(lambda: not connections(), "nginx closes what its clients have closed")
        app.lose()
        check_equal(fetch("page"), "a page\n" * 1000, "the page")
        app.write(f"www/new{round_number}", "added later")
        check_equal(fetch(f"new{round_number}"), "added later", "a page that was added")
        check_equal(fetch("missing"), 404, "the status of a missing page")
        for _ in range(20):
            check(fetch("page"), "nginx stopped to answer")
    workers = nginx_processes(app)
    check_equal(len(workers), 3, "the number of nginx processes")
    # A worker that dies is replaced by its master, as ever.
    victim = [pid for pid in workers if parent(pid) in workers][0]
    os.kill(victim, signal.SIGKILL)
    await_true(lambda: len(nginx_processes(app)) == 3 and victim not in nginx_processes(app), "the worker is replaced")
    check_equal(fetch("page"), "a page\n" * 1000, "the page")


def nginx_processes(app):
    found = []
    for pid in app.workspace.pids():
        try:
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "nginx":
                found.append(pid)
        except OSError:
            continue
    return found


def parent(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return int(file.read().rpartition(")")[2].split()[1])


main(drive, "nginx")
