"""How commands end: 0 done, 1 refused by the service, 2 usage, 3 configuration, 4 unreachable, 5 partly done."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gateway.settings import ConfigurationFaults


class Refused(click.ClickException):
    """The service, or the catalogue, said no."""

    exit_code = 1

    def show(self, file: object = None) -> None:
        click.echo(f"gateway: {self.message}", err=True)


class Misconfigured(Refused):
    """The message holds one line per fault."""

    exit_code = 3

    def show(self, file: object = None) -> None:
        click.echo(self.message, err=True)


class Unreachable(Refused):
    """Nobody answers there."""

    exit_code = 4


class PartlyDone(Refused):
    """Some of it was done; the message says what was not."""

    exit_code = 5


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command as Ctrl-C does: with everything undone that is half done."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


class Silent(Unreachable):
    """No storage answers; the message holds one line per location."""

    def show(self, file: object = None) -> None:
        click.echo(self.message, err=True)


def misconfigured(faults: ConfigurationFaults) -> Refused:
    """How a command ends for these: 4 where nothing is wrong but that no storage answers, which may pass; else 3."""
    return Silent(str(faults)) if faults.unanswered else Misconfigured(str(faults))
