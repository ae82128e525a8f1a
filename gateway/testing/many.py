"""Gateways in memory, one for each test, all in one process: ``python -m gateway.testing.many FOLDER``.

Each line on standard input is a word: ``open`` makes a new, empty gateway and answers with a line of JSON (endpoint,
access_key, secret_key, region), ``close ENDPOINT`` ends one and answers with ``{}``. A fault answers with its text as
``fault``. The process ends with its standard input.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from pathlib import Path
from typing import Any

from twisted.internet import stdio
from twisted.internet.defer import Deferred
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from gateway.node.read import read_node
from gateway.node.service import Node

REGION = "us-east-1"
_CONFIGURATION = f"""\
[gateway]
listen = tcp:0:interface=127.0.0.1
region = {REGION}
drain_timeout = 0
[storage]
backend = memory
"""


class Many:
    """``folder`` holds one folder for each gateway while it lives."""

    def __init__(self, folder: Path, reactor: Any) -> None:
        self._folder = folder
        self._reactor = reactor
        self._made = 0
        self._open: dict[str, tuple[Node, Path]] = {}

    async def open(self) -> dict[str, str]:
        """A new gateway; raises ConfigurationFaults."""
        self._made += 1
        folder = self._folder / str(self._made)
        private = folder / "private"
        private.mkdir(mode=0o700, parents=True)
        (folder / "tahoe.cfg").write_text(_CONFIGURATION)
        (private / "seal").touch(mode=0o600)
        (private / "seal").write_text(secrets.token_hex(32))
        node = Node(read_node(folder / "tahoe.cfg"), self._reactor)
        await node.open()
        assert node.catalogue is not None
        access, secret = f"GW{secrets.token_hex(9).upper()}", secrets.token_hex(20)
        owner = await node.catalogue.accounts.add("test")
        await node.catalogue.accounts.add_key(owner.id, access, secret)
        endpoint = node.urls[0]
        self._open[endpoint] = node, folder
        return {"endpoint": endpoint, "access_key": access, "secret_key": secret, "region": REGION}

    async def close(self, endpoint: str) -> dict[str, str]:
        """End a gateway, and forget everything in it."""
        node, folder = self._open.pop(endpoint)
        await node.close()
        shutil.rmtree(folder, ignore_errors=True)
        return {}

    async def close_all(self) -> None:
        for endpoint in list(self._open):
            await self.close(endpoint)


class Words(LineOnlyReceiver):
    """One word after the other, each answered before the next."""

    delimiter = b"\n"

    def __init__(self, many: Many, reactor: Any) -> None:
        self._many = many
        self._reactor = reactor

    def lineReceived(self, line: bytes) -> None:
        word, _, rest = line.decode().partition(" ")
        work = self._many.open() if word == "open" else self._many.close(rest)
        Deferred.fromCoroutine(work).addErrback(self._fault).addCallback(self._answer)

    def _fault(self, failure: Failure) -> dict[str, str]:
        return {"fault": f"{type(failure.value).__name__}: {failure.getErrorMessage()}"}

    def _answer(self, answer: dict[str, str]) -> None:
        self.sendLine(json.dumps(answer).encode())  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: object = None) -> None:
        done = Deferred.fromCoroutine(self._many.close_all())
        done.addBoth(lambda _: self._reactor.stop())


def main() -> None:
    from twisted.internet import reactor

    running: Any = reactor
    stdio.StandardIO(Words(Many(Path(sys.argv[1]), running), running))  # type: ignore[no-untyped-call]
    running.run()


if __name__ == "__main__":
    main()
