"""`reasond completion`: the script by which a shell completes commands, options, agents and decisions."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_REASOND_COMPLETE"
"""click's own name for it: the script calls `reasond` again with this variable."""


@click.command(short_help="Print the completion script for a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what completes commands, options, names of agents and ids of decisions in SHELL.

    \b
    Examples:
      reasond completion bash >/etc/bash_completion.d/reasond
      reasond completion zsh >"${fpath[1]}/_reasond"
      reasond completion fish >~/.config/fish/completions/reasond.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    click.echo(found(ctx.find_root().command, {}, "reasond", VARIABLE).source())
