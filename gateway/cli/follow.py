"""The lines of a log as they are written, across its being renamed, removed, cut or not yet made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

LONGEST = 1 << 20  # bytes that a line may have; whatever is longer is no line of ours


def lines(path: Path, *, past: bool) -> Iterator[str | None]:
    """Each whole line, and None whenever there is none for now; the caller waits. ``past``: from the beginning.

    A file that was renamed is read to its end before the new one of that name is read. Raises OSError but for a file
    that is not there.
    """
    file, rest = None, b""
    try:
        while True:
            if file is None:
                file = _opened(path)
                if file is None:
                    past = True  # it is made later: all of it is new
                    yield None
                    continue
                if not past:
                    file.seek(0, os.SEEK_END)
                past = True
            piece = file.readline(LONGEST)
            if piece:
                rest += piece
                if rest.endswith(b"\n"):
                    yield rest.decode("utf-8", "replace").rstrip("\n")
                if rest.endswith(b"\n") or len(rest) > LONGEST:
                    rest = b""
            elif _replaced(path, file):
                if not (last := file.readline(LONGEST)):  # written between our reading and our looking
                    file.close()
                    file, rest = None, b""
                rest += last
                if rest.endswith(b"\n"):
                    yield rest.decode("utf-8", "replace").rstrip("\n")
                    rest = b""
            else:
                if os.fstat(file.fileno()).st_size < file.tell():
                    file.seek(0)  # cut in place
                    rest = b""
                yield None
    finally:
        if file is not None:
            file.close()


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _replaced(path: Path, file: BinaryIO) -> bool:
    """Whether another file has the name now; while none has it, the old one may still be written."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(file.fileno())
    return (there.st_ino, there.st_dev) != (here.st_ino, here.st_dev)
