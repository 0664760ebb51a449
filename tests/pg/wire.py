# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL's protocol by hand, for what no good client sends."""
import socket
import struct

from conftest import PATIENCE_S


def startup(version=196608, **parameters):
    body = struct.pack(">I", version)
    for name, value in ({"user": "leat", "database": "leat"} | parameters).items():
        body += name.encode() + b"\0" + value.encode() + b"\0"
    return struct.pack(">I", len(body) + 5) + body + b"\0"


def message(kind, body=b""):
    return kind + struct.pack(">I", len(body) + 4) + body


def query(text):
    return message(b"Q", text.encode() + b"\0")


def parse(text, name=""):
    return message(b"P", name.encode() + b"\0" + text.encode() + b"\0" + struct.pack(">H", 0))


def fields(body):
    """An error's or a notice's fields by their letter."""
    return {part[:1].decode(): part[1:].decode() for part in body.rstrip(b"\0").split(b"\0")}


class Wire:
    """One connection; begins the session unless told not to."""

    def __init__(self, server, begin=True, **parameters):
        host, port = server.pg.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        self.rest = b""
        if begin:
            self.send(startup(**parameters))
            self.greeting = self.until_ready()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *messages):
        self.socket.sendall(b"".join(messages))

    def _take(self, count):
        while len(self.rest) < count:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            self.rest += data
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def read(self):
        """(type, body) of the next message."""
        head = self._take(5)
        return head[:1].decode(), self._take(struct.unpack(">I", head[1:])[0] - 4)

    def until_ready(self):
        """All messages up to ReadyForQuery, without it."""
        messages = []
        while True:
            kind, body = self.read()
            if kind == "Z":
                return messages
            messages.append((kind, body))

    def ask(self, *messages):
        self.send(*messages)
        return self.until_ready()
