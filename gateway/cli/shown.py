"""How the file commands show what they do: one line each, or one element of a JSON array; bars on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from shutil import get_terminal_size
from typing import Any

import click

from gateway.cli.exits import PartlyDone, Refused, Unreachable

# One file refused so, all will be: the rest is not tried.
_HOPELESS = ("NoSuchBucket", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "InvalidBucketName")


def human(size: int) -> str:
    """``512 B``, ``1.5 KiB`` ..."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1023.95 or unit == "TiB":
            break
        amount /= 1024
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"


def printable(text: str) -> str:
    """Names come from strangers; what would steer a terminal is shown escaped."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


class Rows:
    """Prints rows as they come: a line, or with ``as_json`` an element of one array, which is closed at the end.

    ``attempt`` does one of several things: what is refused is told and counted, and the next one goes on. ``end``
    then raises PartlyDone, or Refused where nothing was done.
    """

    def __init__(self, as_json: bool, bar: Bar | None = None) -> None:
        self._as_json = as_json
        self._bar = bar or Bar(None)
        self._done = 0
        self._failed = 0
        self._printed = 0
        self.single = False  # of one thing alone the refusal is the whole story

    def __enter__(self) -> Rows:
        return self

    def moved(self, count: int) -> None:
        self._bar.moved(count)

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._as_json:
            click.echo("\n]" if self._printed else "[]")

    def add(self, row: Mapping[str, Any], line: str) -> None:
        """Print a row."""
        if self._as_json:
            line = ("[\n" if not self._printed else ",\n") + json.dumps(row)
        self._printed += 1
        self._bar.write(line, newline=not self._as_json)

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        try:
            yield
        except Unreachable:
            raise
        except Refused as refusal:
            self._failed += 1
            if self._as_json:
                self.add({"name": name, "error": refusal.message}, "")
            if self.single or getattr(refusal, "code", "") in _HOPELESS:
                raise
            self._bar.close()
            click.echo(f"gateway: {printable(name)}: {refusal.message}", err=True)
        else:
            self._done += 1

    def end(self, what: str) -> None:
        """Raises PartlyDone or Refused where some, or all, was refused."""
        if self._failed:
            told = f"{self._failed} of {self._failed + self._done} not {what}"
            raise PartlyDone(told) if self._done else Refused(told)


class Bar:
    """Bytes, rate and time to go, on standard error and only where that is a terminal. ``total`` None: not known."""

    def __init__(self, total: int | None, about: str = "") -> None:
        self._bar: Any = None
        if about and sys.stderr.isatty():
            from tqdm import tqdm

            tqdm.monitor_interval = 0  # no thread of its own
            wide, high = get_terminal_size()  # tqdm's own way shows nothing on a terminal that does not say
            size = {"ncols": wide, "nrows": high}
            self._bar = tqdm(total=total, desc=about, unit="B", unit_scale=True, unit_divisor=1024, leave=False, **size)

    def moved(self, count: int) -> None:
        """``count`` bytes went by; below zero where they have to go once more."""
        if self._bar is not None:
            self._bar.update(count)

    def write(self, line: str, *, newline: bool = True) -> None:
        """A line to standard output, above the bar."""
        if self._bar is None:
            click.echo(line, nl=newline)
            return
        from tqdm import tqdm

        with tqdm.external_write_mode(file=sys.stdout):
            click.echo(line, nl=newline)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
