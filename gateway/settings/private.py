"""The folder ``private/`` beside the configuration: the only place where secrets lie."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gateway.settings.faults import ConfigurationFault

_LARGEST = 1 << 20  # no secret is longer
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Private:
    """Reads secret files; one that others than its owner may read is a fault, as is a missing one.

    ``file`` is the configuration file, which the faults name.
    """

    def __init__(self, folder: Path, file: str) -> None:
        self.folder = folder
        self._file = file

    def check_folder(self) -> ConfigurationFault | None:
        """The fault of the folder itself: readable by others. (A missing folder shows as missing files.)"""
        try:
            mode = self.folder.stat().st_mode
        except OSError:
            return None
        if not stat.S_ISDIR(mode):
            return ConfigurationFault(self._file, 0, f"{self.folder}, not a folder", "a folder", "move it away")
        if mode & _OTHERS:
            seen = f"{self.folder} open to others (mode {stat.S_IMODE(mode):04o})"
            return ConfigurationFault(self._file, 0, seen, "mode 0700", f"chmod 700 {self.folder}")
        return None

    def read(self, name: str, line: int, meaning: str) -> str | None:
        """The text of a secret without the white space around it; None where there is no such file.

        Raises ConfigurationFault (at ``line``) for a file that is empty, not text, or readable by others.
        """
        path = self.folder / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise self._fault(line, f"{path} unreadable ({fault.strerror})", meaning, f"make {path} ours") from fault
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise self._fault(line, f"{path}, not a plain file", meaning, f"replace {path} by a file")
            if mode & _OTHERS:
                seen = f"{path} open to others (mode {stat.S_IMODE(mode):04o})"
                raise self._fault(line, seen, "mode 0600", f"chmod 600 {path}")
            text = os.read(descriptor, _LARGEST).decode("utf-8").strip()
        except UnicodeDecodeError:
            raise self._fault(line, f"{path} that is not text", meaning, f"write {path} anew") from None
        finally:
            os.close(descriptor)
        if not text:
            raise self._fault(line, f"{path} empty", meaning, f"write it into {path}")
        return text

    def require(self, name: str, line: int, meaning: str) -> str:
        """Like ``read``, and a missing file is a fault too."""
        text = self.read(name, line, meaning)
        if text is None:
            path = self.folder / name
            raise self._fault(line, f"no file {path}", meaning, f"write it there and chmod 600 {path}")
        return text

    def _fault(self, line: int, seen: str, expected: str, fix: str) -> ConfigurationFault:
        return ConfigurationFault(self._file, line, seen, expected, fix)
