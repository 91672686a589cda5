"""A small Redis client over a Unix socket: RESP2, one command or a pipeline at a time."""

import socket
import time


class ConnectionEnded(Exception):
    """The server is gone, or was: reconnect."""


class RedisClient:
    def __init__(self, path, timeout=30.0):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise ConnectionEnded(str(error)) from error
        self._reader = self._socket.makefile("rb", buffering=1 << 16)

    @classmethod
    def connect_within(cls, path, seconds, poll=0.001):
        """Connects as soon as the server answers a PING."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                client = cls(path)
                if client.command("PING") == b"PONG":
                    return client
                client.close()
            except ConnectionEnded:
                pass
            if time.monotonic() > deadline:
                raise ConnectionEnded(f"no server answers on {path} after {seconds} s")
            time.sleep(poll)

    def close(self):
        self._reader.close()
        self._socket.close()

    def command(self, *arguments):
        return self.pipeline([arguments])[0]

    def pipeline(self, commands):
        """Sends all commands at once; their replies in order. An error reply is returned as a RuntimeError."""
        try:
            self._socket.sendall(b"".join(_encode(c) for c in commands))
            return [self._read_reply() for _ in commands]
        except OSError as error:
            raise ConnectionEnded(str(error)) from error

    def _read_reply(self):
        line = self._reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionEnded("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return None
            body = self._reader.read(size + 2)
            if len(body) != size + 2:
                raise ConnectionEnded("the server closed the connection within a reply")
            return body[:-2]
        if kind == b"*":
            return [self._read_reply() for _ in range(int(rest))]
        raise ConnectionEnded(f"not a Redis reply: {line!r}")


def _encode(arguments):
    parts = [a if isinstance(a, bytes) else str(a).encode() for a in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)
