"""`gateway doctor`: what ails an installation, and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.exits import Misconfigured, Refused
from gateway.cli.offline import as_json, config, in_reactor
from gateway.cli.shown import Rows, printable

if TYPE_CHECKING:
    from gateway.doctor import Finding

_COLOURS = {"fine": "green", "warning": "yellow", "fault": "red"}


@click.command()
@config
@click.option(
    "--endpoint", "endpoints", multiple=True, metavar="URL", help="How clients reach it, such as a proxy's URL."
)
@as_json
def doctor(config: Path, endpoints: tuple[str, ...], as_json: bool) -> None:
    """Look at everything that a gateway needs: one line for each finding, with the command that mends it.

    It works beside a gateway that serves. With --endpoint it also sends signed requests to URL, and tells what a
    proxy in between does to them. Exit code 3 where something has to be mended; warnings do not count.

    \b
      gateway doctor -c porch/tahoe.cfg
      gateway doctor -c porch/tahoe.cfg --endpoint https://s3.example.com
    """
    states: list[str] = []
    with Rows(as_json) as rows:

        def tell(finding: Finding) -> None:
            states.append(finding.state)
            row = {"check": finding.check, "state": finding.state, "seen": finding.seen, "fix": finding.fix}
            state = click.style(f"{finding.state:7}", fg=_COLOURS[finding.state])
            fix = f"; fix: {finding.fix}" if finding.fix else ""
            rows.add(row, f"{state}  {finding.check}: {printable(' '.join((finding.seen + fix).split()))}")

        _inside(config, tell)
        for url in endpoints:
            for finding in _outside(config, url):
                tell(finding)
    faults, warnings = states.count("fault"), states.count("warning")
    if faults:
        raise Misconfigured(f"gateway: {faults} to mend, {warnings} to look at, of {len(states)}")


def _inside(config: Path, tell: Any) -> None:
    from gateway.doctor import examine

    async def work(reactor: Any) -> None:
        async for finding in examine(config, reactor):
            tell(finding)

    in_reactor(work)


def _outside(config: Path, url: str) -> Iterator[Finding]:
    from gateway.cli.endpoint import look
    from gateway.cli.target import of_gateway
    from gateway.doctor import FAULT, Finding
    from gateway.node.read import read

    values = read(config).gateway
    try:
        target = of_gateway(config)
    except (Refused, click.UsageError) as fault:
        yield Finding("endpoint", FAULT, f"{url} cannot be asked: {fault.message}", "mend that first")
        return
    assert values is not None
    yield from look(target, url, values["log"] / "access.log")
