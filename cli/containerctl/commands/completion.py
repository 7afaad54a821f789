# SPDX-License-Identifier: Apache-2.0
"""`containerctl completion`: the name of a shell comes in, what makes it complete our commands goes out."""

import click
from click.shell_completion import ShellComplete, get_completion_class

from containerctl.commands import command


@command(
    "completion bash > /etc/bash_completion.d/containerctl",
    "completion fish > ~/.config/fish/completions/containerctl.fish",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options and names of containers.

    `make install` has put it into place already. Names come from the running agent.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(ctx.find_root().command, {}, "containerctl", "_CONTAINERCTL_COMPLETE")
    click.echo(ShellComplete.source(made))  # that of bash would start bash to see its version
