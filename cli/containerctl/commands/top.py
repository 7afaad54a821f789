# SPDX-License-Identifier: Apache-2.0
"""`containerctl top`: the agent's answers go into a live view on the terminal, or into tables for scripts."""

import click

from containerctl.commands import Settings, command
from containerctl.top.model import SORTS
from containerctl.top.view import MOST_ROWS, View


@command("top", "top --all --sort forks --filter nginx", "top --batch --iterations 3 --json")
@click.option("--all", "everything", is_flag=True, help="Also cgroups that are not managed.")
@click.option("--sort", type=click.Choice(SORTS), default=SORTS[0], show_default=True, help="What is first.")
@click.option("--filter", "text", metavar="TEXT", default="", help="Only names with TEXT in them, in any case.")
@click.option("--flat", is_flag=True, help="A plain list instead of a tree.")
@click.option(
    "--interval",
    "interval_seconds",
    metavar="SECONDS",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    show_default=True,
    help="From one look to the next.",
)
@click.option("--batch", is_flag=True, help="Print tables, or with --json a line each, instead of a live view.")
@click.option("--iterations", metavar="N", type=click.IntRange(1), help="How many, with --batch; else until Ctrl-C.")
@click.option(
    "--rows", metavar="N", type=click.IntRange(1, 100_000), default=MOST_ROWS, show_default=True,
    help="Most containers in each, with --batch.",
)  # fmt: skip
@click.pass_context
def top(
    ctx: click.Context,
    *,
    everything: bool,
    sort: str,
    text: str,
    flat: bool,
    interval_seconds: float,
    batch: bool,
    iterations: int | None,
    rows: int,
) -> int:
    """Show what containers use, anew every few seconds; the key h lists the others.

    Rates are of the last interval: forks, and page faults where the kernel tells them (memory.stat). `~` marks figures
    that leave out pages from before the agent's counting began.
    """
    settings: Settings = ctx.obj
    view = View(sort=sort, text=text, everything=everything, as_tree=not flat, interval_seconds=interval_seconds)
    if batch:
        from containerctl.top import batch as batches

        batches.run(settings.client(), view, rows, iterations, settings.json)
        return 0
    for given, option in ((settings.json, "--json"), (iterations, "--iterations")):
        if given:
            raise click.UsageError(f"{option} needs --batch", ctx)
    from containerctl.top.live import Live
    from containerctl.top.terminal import Terminal

    return Live(settings.client(tells=False), view, Terminal()).run()
