"""The commands by name; a command's module is imported when it is called, so that help comes at once."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any

import click

import gateway

# name -> (module, what it does)
COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "demo": ("demo", "Try it: a gateway in ./gateway-demo, with keys and lines to paste."),
        "init": ("init", "Make a folder with tahoe.cfg, private/ and a first account."),
        "run": ("run", "Serve in the foreground (as `twistd gateway` does in the background)."),
        "check": ("check", "Find every fault of a configuration without starting."),
        "doctor": ("doctor", "Find what ails an installation, and name the command that mends it."),
        "trace": ("trace", "Show the requests of a gateway as they end."),
        "account": ("account", "Add and list accounts."),
        "key": ("key", "Add, list and revoke access keys."),
        "bucket": ("bucket", "Add, list and remove buckets."),
        "reap": ("reap", "Delete what nobody refers to, while the gateway is stopped."),
        "verify": ("verify", "Read every blob and compare it with what was written, also while the gateway serves."),
        "backup": ("recovery", "Copy the catalogue to a file while the gateway serves."),
        "snapshot": ("recovery", "Keep the catalogue as sealed blobs in every location."),
        "restore": ("recovery", "Bring back a catalogue that is gone, from the newest snapshot or a backup."),
        "rebuild": ("recovery", "Bring back a catalogue that is gone, also without a snapshot."),
        "plugins": ("plugins", "List the installed backends: what they can do, and which the configuration needs."),
        "new-backend": ("new_backend", "Write the package of a backend of your own."),
        "check-backend": ("check_backend", "Try every promise of a backend on a configured location."),
        "put": ("put", "Store files, folders or standard input."),
        "get": ("get", "Fetch objects or whole folders."),
        "ls": ("ls", "List buckets, or the objects of one."),
        "du": ("ls", "Count and sum objects."),
        "rm": ("rm", "Delete objects or whole folders."),
        "share": ("share", "Print a link to an object that works for a while."),
        "env": ("env", "Print the AWS variables of a gateway, for a shell to read."),
        "completion": ("completion", "Print what lets bash, zsh or fish complete these commands."),
    }
)


class Commands(click.Group):
    """A group that knows its commands' names and help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"gateway.cli.{COMMANDS[name][0]}")
        command: click.Command = getattr(module, name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(gateway.__version__, prog_name="txgateway")
def program() -> None:
    """An S3 gateway to any storage that a plugin knows."""
    sys.excepthook = _unexpected


def _unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Any:
    """A fault of ours: one line for the operator, the whole story in a file."""
    if issubclass(kind, KeyboardInterrupt):
        return
    descriptor, path = tempfile.mkstemp(prefix="gateway-", suffix=".log")
    with os.fdopen(descriptor, "w") as story:
        traceback.print_exception(kind, error, trace, file=story)
    told = " ".join(f"{kind.__name__}: {error}".split())
    print(f"gateway: unexpected fault ({told}); the whole story is in {path}", file=sys.stderr)
