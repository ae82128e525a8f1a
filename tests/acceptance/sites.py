"""The gateways of the matrix, one for each storage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from gateway.testing.server import LiveGateway
from tests.acceptance.compatibility import Record, answers
from tests.acceptance.raw import Site
from tests.servers.storages import kept_on

ELSEWHERE = os.environ.get("ACCEPTANCE_ENDPOINT", "")


class Sites:
    """``sites["cloud.s3"]``: started when it is first asked for, and kept to the end, for each file of tests asks for
    all of them in turn. ``folder`` makes a folder of that name. What the gateways were asked goes into ``record``."""

    def __init__(self, folder: Callable[[str], Path], record: Record) -> None:
        self._folder = folder
        self._record = record
        self._stack = ExitStack()
        self._sites: dict[str, Site] = {}
        self._others: dict[str, Site] = {}

    def __getitem__(self, storage: str) -> Site:
        if storage not in self._sites:
            self._sites[storage] = _elsewhere("") if ELSEWHERE else self._start(storage)
        return self._sites[storage]

    def other(self, storage: str) -> Site:
        """A second account of the same gateway, with a key of its own."""
        if storage not in self._others:
            self._others[storage] = _elsewhere("OTHER_") if ELSEWHERE else _other(self[storage])
        return self._others[storage]

    def close(self) -> None:
        self._stack.close()

    def _start(self, storage: str) -> Site:
        folder = self._folder(f"gateway-{storage}")
        kept = self._stack.enter_context(kept_on(storage))
        self._stack.callback(self._note, storage, kept.server, folder / "log" / "access.log")
        # on a local folder two processes serve: what one of them remembers must be right when the other changed it
        gateway = {"workers": "2" if storage == "local" else "1"}
        live = LiveGateway(folder, kept.backend, gateway=gateway, storage=kept.settings, secrets=kept.secrets)
        self._stack.enter_context(live)
        keys = live.access_key, live.secret_key
        return Site(live.endpoint, *keys, region=live.region, backend=storage, pid=live.pid, config=live.config_file)

    def _note(self, storage: str, server: str, log: Path) -> None:
        """When the gateway has ended, and its log is whole."""
        if log.exists():
            self._record.column(storage).server = server
            self._record.column(storage).asked = list(answers(log))


def _elsewhere(whose: str) -> Site:
    keys = os.environ[f"ACCEPTANCE_{whose}ACCESS_KEY"], os.environ[f"ACCEPTANCE_{whose}SECRET_KEY"]
    return Site(ELSEWHERE, *keys, region="us-east-1", backend="elsewhere")


def _other(site: Site) -> Site:
    _gateway(["account", "add", "other"], site)
    made = json.loads(_gateway(["key", "add", "--account", "other", "--json"], site))
    return replace(site, access_key=made["access_key_id"], secret_key=made["secret_access_key"])


def _gateway(words: list[str], site: Site) -> str:
    """What the ``gateway`` command prints."""
    command = [sys.executable, "-m", "gateway", *words, "-c", str(site.config)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
