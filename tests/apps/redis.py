"""redis-server: data, expiring keys, pipelined replies and clients that reconnect."""

import time

from app import check, check_equal, main


class Client:
    """As much of the Redis protocol as we need."""

    def __init__(self, app):
        self.connection = app.connect("redis.sock")
        self.file = self.connection.makefile("rb")

    def send(self, *words):
        parts = [f"*{len(words)}\r\n".encode()]
        for word in words:
            data = str(word).encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
        self.connection.sendall(b"".join(parts))

    def reply(self):
        line = self.file.readline()
        if not line:
            raise EOFError
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"$":
            return None if rest == "-1" else self.file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def do(self, *words):
        self.send(*words)
        return self.reply()


def fill(client, first, last):
    for number in range(first, last):
        client.send("SET", f"key:{number}", f"value {number} " * 20)
    for _ in range(first, last):
        check_equal(client.reply(), "OK", "the reply to SET")


def drive(app):
    app.start("redis-server", "--port", "0", "--unixsocket", app.path("redis.sock"), "--save", "", "--appendonly", "no",
              "--dir", app.workspace.folder)
    client = Client(app)
    fill(client, 0, 5000)
    client.do("RPUSH", "list", *range(1000))
    client.do("HSET", "hash", "field", "content")
    client.do("ZADD", "ranks", 3, "three", 1, "one", 2, "two")
    client.do("SET", "soon", "gone", "PX", 2500)
    client.do("SET", "later", "here", "EX", 1000)
    client.do("INCRBY", "counter", 41)
    memory_before = client.do("DBSIZE")
    waiting = Client(app)  # in a blocking command when the loss comes
    waiting.send("BLPOP", "queue", 0)
    pipelined = Client(app)
    for number in range(100):
        pipelined.send("INCR", "pipeline")
    deadline = time.monotonic() + 10
    while not (client.do("GET", "pipeline") == "100" and "blocked_clients:1" in client.do("INFO", "clients")):
        check(time.monotonic() < deadline, "the server has not done what it was sent")
        time.sleep(0.01)

    first = app.lose(after_save=lambda: (client.do("INCRBY", "counter", 1000), client.do("DEL", "list")))
    if app.perdure:
        try:
            check(not client.do("PING"), "a connection from before the loss still works")
        except (EOFError, OSError):
            pass
        waiting.connection.close()
        client = Client(app)
    check_equal(client.do("GET", "counter"), "41", "the counter")
    check_equal(client.do("GET", "pipeline"), "100", "the counter of pipelined commands")
    check_equal(client.do("DBSIZE"), memory_before + 1, "the number of keys")
    check_equal(client.do("LRANGE", "list", 0, -1), [str(n) for n in range(1000)], "the list")
    check_equal(client.do("ZRANGE", "ranks", 0, -1), ["one", "two", "three"], "the sorted set")
    check_equal(client.do("GET", "key:4321"), "value 4321 " * 20, "a key")
    remaining = client.do("TTL", "later")
    check(900 < remaining <= 1000, f"the expiring key has {remaining} s left")
    deadline = time.monotonic() + 10
    while client.do("EXISTS", "soon") and time.monotonic() < deadline:
        time.sleep(0.05)
    check_equal(client.do("EXISTS", "soon"), 0, "the existence of the expired key")

    fill(client, 5000, 6000)
    app.lose()
    client = Client(app) if app.perdure else client
    check_equal(client.do("GET", "key:5999"), "value 5999 " * 20, "a key of the second epoch")
    if app.perdure:
        app.kill()
        app.restore(epoch=first)
        client = Client(app)
        check_equal(client.do("GET", "key:5999"), None, "a key of the second epoch, after going back to the first")
        check_equal(client.do("GET", "key:4999"), "value 4999 " * 20, "a key of the first epoch")
        check_equal(client.do("INCR", "counter"), 42, "the counter of the first epoch, incremented")


main(drive, "redis")
