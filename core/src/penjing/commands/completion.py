"""`penjing completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(epilog='Example: eval "$(penjing completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a shell's completion script. Put the example into ~/.bashrc, or with zsh for bash into ~/.zshrc, below
    compinit; for fish put `penjing completion fish | source` into ~/.config/fish/config.fish."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "penjing", "_PENJING_COMPLETE").source())
