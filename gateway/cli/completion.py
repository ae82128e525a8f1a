"""`gateway completion`: what lets a shell complete our commands, options, buckets and keys."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion of SHELL; the shell's start-up file reads it.

    \b
      eval "$(gateway completion bash)"               # in ~/.bashrc
      eval "$(gateway completion zsh)"                # in ~/.zshrc
      gateway completion fish | source                # in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from gateway.cli.program import program

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(program, {}, "gateway", "_GATEWAY_COMPLETE").source())
