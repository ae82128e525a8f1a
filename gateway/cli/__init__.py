"""The `gateway` command."""

from __future__ import annotations


def main() -> None:
    """The console script's entry: exits with the codes of ``gateway.cli.exits``."""
    from gateway.cli.program import program

    program()
