"""What the verbs of `bmt` share: options, their completion, and how an error ends a verb."""

from __future__ import annotations

import sys
from typing import Any

import click

from bmtlib.errors import BmtError
from bmtlib.texts import LANGUAGES

# Imports of the library stand inside the verbs: `bmt --help` and completion must not load pandas.

SET = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one value, e.g. load.concurrency=400 or testbed.placement.director_cpus=1. Repeatable.",
)
TESTBED = click.option(
    "--testbed",
    default="netns",
    show_default=True,
    help="Name in params/testbeds, or a file; auto: the one with the best LVS that this machine can have now.",
)

LANGUAGE = click.option(
    "--language",
    "languages",
    multiple=True,
    default=["en"],
    show_default=True,
    type=click.Choice(list(LANGUAGES)),
    help="Language of the report. Repeatable: each has a page of its own, which links to the others.",
)


class Verbs(click.Group):
    """Lists verbs in the order of use and turns our errors into one message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BmtError as error:
            click.echo(f"bmt: {error}", err=True)
            ctx.exit(error.exit_code)
        except BrokenPipeError:
            sys.stderr.close()
            ctx.exit(1)


BREAK_LOCK = click.option(
    "--break-lock", is_flag=True, help="Take the hosts from the controller that holds them: it must be gone for good."
)


def scenario_names(incomplete: str) -> list[str]:
    from bmtlib.params.paths import project_root

    names = sorted(path.stem for path in (project_root() / "params" / "scenarios").glob("*.yml"))
    return [name for name in names if name.startswith(incomplete)]
