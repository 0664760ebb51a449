# SPDX-License-Identifier: Apache-2.0
"""A proxy between a PostgreSQL client and a server that writes down the statements that the client sends.

    with Recorder("127.0.0.1:5433") as recorder:
        subprocess.run(["psql", "-h", recorder.host, "-p", str(recorder.port), …])
    recorder.statements    # [("Q", "SELECT …"), ("P", "SELECT $1 …"), …]

Q is a simple query, P a Parse of the extended protocol. Everything goes through untouched.
"""
import select
import socket
import struct
import threading


class Recorder:
    def __init__(self, server):
        self.server = server
        self.statements = []
        self.startups = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        self._closing = False
        self._threads = []

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._closing = True
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self):
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, client):
        host, port = self.server.rsplit(":", 1)
        server = socket.create_connection((host, int(port)))
        pending, started = b"", False
        with client, server:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for side in ready:
                    try:
                        data = side.recv(65536)
                    except OSError:
                        return
                    if not data:
                        return
                    (server if side is client else client).sendall(data)
                    if side is client:
                        pending, started = self._read(pending + data, started)

    def _read(self, data, started):
        """Takes whole messages off the front of @data."""
        while True:
            head = 0 if not started else 1
            if len(data) < head + 4:
                return data, started
            size = struct.unpack_from(">I", data, head)[0] + head
            if len(data) < size:
                return data, started
            message, data = data[:size], data[size:]
            if not started:
                started = struct.unpack_from(">I", message, 4)[0] >> 16 == 3
                if started:
                    self.startups.append(message[8:])
            elif message[:1] == b"Q":
                self.statements.append(("Q", message[5:-1].decode()))
            elif message[:1] == b"P":
                self.statements.append(("P", message[5:].split(b"\0")[1].decode()))
