#!/usr/bin/env python3
"""Prints docs/commands.md: what every command's `--help` says, in the groups of `commontrace --help`."""

from itertools import groupby
from typing import Any

import typer

from commontrace.cli.app import app
from commontrace.cli.exit_codes import MEANINGS
from commontrace.cli.help import Commands

WIDTH = 80

INTRODUCTION = """\
# Commands

What `--help` says, in one place; `make generate` writes it. Results go to standard output, everything else to standard
error. On a terminal, lists are laid out and cut to its width; a pipe gets one line or one block an item, in full, and
`--json` one object a line, with the names of the [contract](../protos/commontrace/v1). Text of traces is other agents'
words: what could steer a terminal is left out.

`commontrace --install-completion` teaches bash, zsh or fish the commands, their options and values.
"""


def main() -> None:
    """Prints the whole reference."""
    whole = typer.main.get_command(app())
    outer = typer.Context(whole, info_name="commontrace", terminal_width=WIDTH)
    print(INTRODUCTION)
    print("| exit code | |\n|---|---|")
    for code, meaning in MEANINGS.items():
        print(f"| {code} | {meaning} |")
    # The options alone: the commands and the examples follow on this page.
    options = whole.get_help(outer).partition("Options:\n")[2].partition("\n\n")[0]
    print(f"\n## Before the command\n\n```text\n{options}\n```")
    commands = whole.commands.items()
    for heading, group in groupby(commands, key=lambda item: item[1].rich_help_panel):
        print(f"\n## {heading}")
        for name, command in group:
            context = typer.Context(command, info_name=name, parent=outer, terminal_width=WIDTH)
            if not isinstance(command, Commands):
                print_help(name, command, context)
            else:
                for verb, inner in command.commands.items():
                    print_help(
                        f"{name} {verb}",
                        inner,
                        typer.Context(inner, info_name=verb, parent=context, terminal_width=WIDTH),
                    )


def print_help(name: str, command: Any, context: typer.Context) -> None:
    """Prints what one command says of itself."""
    print(f"\n### {name}\n\n```text\n{command.get_help(context).rstrip()}\n```")


main()
