"""`gateway trace`: the requests of a gateway as they end, one readable line each."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from gateway.cli.exits import Misconfigured, Refused
from gateway.cli.offline import as_json, config
from gateway.cli.shown import human, printable

_PAUSE = 0.1  # seconds between two looks at the log, which the gateway writes four times a second
_STATUS = re.compile(r"[1-5](?:[0-9]{2}|xx)")
_COLOURS = {"2": "green", "3": "cyan", "4": "yellow", "5": "red"}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which requests are shown; what is empty, or 0, lets all pass."""

    bucket: str = ""
    account: str = ""
    operation: str = ""
    status: str = ""
    errors: bool = False
    slower: float = 0.0

    def passes(self, row: dict[str, Any]) -> bool:
        status = str(row.get("status", ""))
        return (
            self.bucket in ("", row.get("bucket"))
            and (not self.account or self.account in (row.get("account"), row.get("access_key")))
            and self.operation.lower() in ("", str(row.get("operation", "")).lower())
            and (not self.status or status == self.status or status[:1] + "xx" == self.status)
            and not (self.errors and status < "400" and row.get("whole", True))
            and float(row.get("seconds", 0)) >= self.slower
        )


def _status(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value and not _STATUS.fullmatch(value):
        raise click.BadParameter("404 or 4xx is expected")
    return value


@click.command()
@config
@click.option("--bucket", default="", help="Only requests about this bucket.")
@click.option("--account", default="", help="Only those of this account, by its name or an access key.")
@click.option("--operation", default="", help="Only this S3 operation, such as PutObject.")
@click.option("--status", default="", callback=_status, help="Only this HTTP status: 404, or 4xx for all of its kind.")
@click.option("--errors", is_flag=True, help="Only what was refused, failed or broke off.")
@click.option("--slower", type=click.FloatRange(0), default=0.0, metavar="SECONDS", help="Only what took so long.")
@click.option("-n", "--last", type=click.IntRange(0, 100_000), default=0, help="Begin with that many from the past.")
@click.option("--no-follow", is_flag=True, help="End after the past (10 of them, unless --last says how many).")
@as_json
def trace(
    config: Path,
    bucket: str,
    account: str,
    operation: str,
    status: str,
    errors: bool,
    slower: float,
    last: int,
    no_follow: bool,
    as_json: bool,
) -> None:
    """Show the requests of a gateway as they end, until Ctrl-C; it reads log/access.log, wherever that is moved.

    Each line: time, status, operation, bucket and key, how long it took, bytes out and in, who, and what went wrong. A
    signature that does not match is explained: which part differs, and who usually changes it. --json prints the
    log's own lines.

    \b
      gateway trace -c porch/tahoe.cfg --errors
      gateway trace -c porch/tahoe.cfg --bucket attic --last 20 --no-follow
    """
    wanted = Filter(bucket, account, operation, status, errors, slower)
    path = _log(config)
    if not path.exists():
        click.echo(f"gateway: no {path} yet; the gateway makes it when it starts", err=True)
        if no_follow:
            return
    try:
        for line, row in _rows(path, wanted, last or (10 if no_follow else 0), follow=not no_follow):
            click.echo(line if as_json else shown(row))
    except KeyboardInterrupt:  # the way to end it
        if sys.stderr.isatty():
            click.echo(err=True)
    except OSError as fault:
        if fault.filename is None:
            raise  # who reads us has enough
        raise Refused(f"{fault.filename}: {fault.strerror}") from fault


def _log(config: Path) -> Path:
    """Where the access log is, whatever else may be wrong with the configuration. Raises Misconfigured."""
    from gateway.node.read import read

    reading = read(config)
    if reading.gateway is None:
        raise Misconfigured("\n".join(map(str, reading.faults)))
    path: Path = reading.gateway["log"] / "access.log"
    return path


def _rows(path: Path, wanted: Filter, last: int, *, follow: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """The last so many of the past, then whatever comes."""
    from gateway.cli.follow import lines

    past: deque[tuple[str, dict[str, Any]]] = deque(maxlen=last)
    live = not last
    for line in lines(path, past=bool(last)):
        if line is None:
            if not live:
                yield from past
                past.clear()
                live = True
            if not follow:
                return
            time.sleep(_PAUSE)
            continue
        row = _read(line)
        if row is None or not wanted.passes(row):
            continue
        if live:
            yield line, row
        else:
            past.append((line, row))


def _read(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None  # a line that a full disk cut
    return row if isinstance(row, dict) else None


def shown(row: dict[str, Any]) -> str:
    """One line for people."""
    status = str(row.get("status", "???"))
    when = str(row.get("time", ""))[5:23].replace("T", " ")
    where = "/".join(filter(None, (row.get("bucket"), row.get("key")))) or str(row.get("target", "-"))
    took = float(row.get("seconds", 0)) * 1000
    who = row.get("account") or row.get("access_key") or "nobody"
    told = ": ".join(filter(None, (row.get("code"), row.get("cause"))))
    if not row.get("whole", True):
        told = f"{told}; broke off" if told else "broke off"
    words = (
        when,
        click.style(status, fg=_COLOURS.get(status[:1])),
        f"{row.get('operation', '-'):20}",
        printable(where),
        f"{took:.1f} ms",
        f"out {human(int(row.get('sent', 0)))}",
        f"in {human(int(row.get('received', 0)))}",
        printable(f"{who}@{row.get('peer', '?')}"),
        printable(told),
    )
    return "  ".join(word for word in words if word)
