"""sqlite3 in the middle of a transaction: its locks hold, the commit succeeds, the database is whole."""

import os
import sqlite3

from app import await_true, check, check_equal, main

# Feeds sqlite3 with files cmd.0, cmd.1, ... as they appear; no descriptor stays open on our side.
SCRIPT = r'''
cd "$1"
for ((n = 0; ; n++)); do
  while [[ ! -e cmd.$n ]]; do sleep 0.01; done
  cat cmd.$n
done | exec sqlite3 -batch data.db
'''


def drive(app):
    app.start("bash", app.write("script.sh", SCRIPT), app.workspace.folder)
    number = 0

    def command(text):
        nonlocal number
        app.write("draft", f"{text}\n.once done.{number}\nSELECT 'done';\n")

        os.rename(app.path("draft"), app.path(f"cmd.{number}"))
        await_true(lambda: app.exists(f"done.{number}") and app.read(f"done.{number}"), f"sqlite3 answers: {text[:60]}")
        number += 1

    def outside(text):
        with sqlite3.connect(app.path("data.db"), timeout=0) as database:
            return database.execute(text).fetchall()

    command("CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT); INSERT INTO t VALUES(0, 'before');")
    command("BEGIN IMMEDIATE; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 2000) "
            "INSERT INTO t SELECT i, 'row ' || i FROM n;")

    def locked():
        try:
            outside("INSERT INTO t VALUES(-1, 'intruder')")
            return False
        except sqlite3.OperationalError as error:
            return "locked" in str(error)

    check(locked(), "the transaction holds no lock")
    app.lose()
    check(locked(), "the transaction lost its lock")
    check_equal(outside("SELECT count(*) FROM t"), [(1,)], "the number of rows before the commit, seen from outside")
    command("UPDATE t SET text = text || '!' WHERE id % 2;")
    app.lose()
    command("COMMIT;")
    check_equal(outside("SELECT count(*), sum(id), sum(length(text)) FROM t")[0],
                (2001, 2000 * 2001 // 2, sum(len(f"row {i}") + i % 2 for i in range(1, 2001)) + 6), "the table")
    check_equal(outside("PRAGMA integrity_check"), [("ok",)], "the integrity check")
    check(not locked(), "the lock was not released")


main(drive, "sqlite")
