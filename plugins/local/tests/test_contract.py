"""Every promise of the seam, from the kit; once more as on a file system that has no files without a name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gateway_local import LocalBackend, draft
from gateway_local.folder import Folder

from gateway.api import Values
from gateway.testing import BackendContract


class TestLocal(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> LocalBackend:
        return LocalBackend(Values.of(LocalBackend.settings, {"local.path": tmp_path / "storage"}))

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], LocalBackend]:
        return lambda: LocalBackend(Values.of(LocalBackend.settings, {"local.path": tmp_path / "storage"}))


class TestNamedDrafts(TestLocal):
    @pytest.fixture(autouse=True)
    def named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begin = draft.Draft.__init__

        def plain(self: draft.Draft, folder: Folder, unnamed: bool, reserve: int = 0) -> None:
            begin(self, folder, unnamed=False, reserve=reserve)

        monkeypatch.setattr(draft.Draft, "__init__", plain)
