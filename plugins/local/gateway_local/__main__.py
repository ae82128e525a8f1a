"""``python -m gateway_local FROM TO``: a copy of a storage folder, which a gateway may be writing to meanwhile.

Files never change, and are copied as they are, with their times. The database of small blobs is copied as it is at one
moment. What is put or deleted meanwhile may be in the copy or not. Exit codes: 0 done, 2 usage, 4 it could not be done.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from gateway.api import SqliteUnfit
from gateway_local.rowfile import FILE, Fault, copy_rows


def main(words: list[str]) -> int:
    if len(words) != 2 or not (Path(words[0]) / "blobs").is_dir():
        sys.stderr.write("usage: python -m gateway_local STORAGE COPY; STORAGE is a local.path, COPY is made\n")
        return 2
    source, target = map(Path, words)
    try:
        target.mkdir(mode=0o700)
        if (source / FILE).exists():
            copy_rows(source, target)
        shutil.copytree(source / "blobs", target / "blobs", copy_function=_copied)
        os.sync()
    except (OSError, shutil.Error, SqliteUnfit, Fault) as fault:
        sys.stderr.write(f"{source} is not copied: {fault}\n")
        return 4
    return 0


def _copied(source: str, target: str) -> None:
    with suppress(FileNotFoundError):  # deleted meanwhile
        shutil.copy2(source, target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
