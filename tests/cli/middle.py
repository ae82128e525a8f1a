"""What may stand between a client and its gateway: a forwarder that drops, stops, damages or delays."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

Change = Callable[[bytes, int], bytes | None]  # (what came, how much came before) -> what goes on; None: hang up


def unchanged(data: bytes, before: int) -> bytes | None:
    return data


class Middle:
    """Listens on a free port. ``drop``: so many connections are closed at once; ``down`` changes replies."""

    def __init__(self, port: int, *, drop: int = 0, down: Change = unchanged, up: Change = unchanged) -> None:
        self._to = port
        self._drop = drop
        self._down, self._up = down, up
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            if self.connections <= self._drop:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._to))
            self._open += [near, far]
            threading.Thread(target=self._pass, args=(near, far, self._up), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, self._down), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, change: Change) -> None:
        before = 0
        try:
            while data := source.recv(65536):
                passed = change(data, before)
                before += len(data)
                if passed is None:
                    break
                sink.sendall(passed)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self) -> None:
        self._listening.close()
        for one in self._open:
            one.close()
