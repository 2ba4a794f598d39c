"""``python -m control.prompts``: what there is to record, what is missing, and speaking all of it beforehand."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from control.config import ConfigError, load_config
from control.logging import configure
from control.prompts.catalogue import CatalogueError
from control.prompts.prompts import Prompts


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 all is well, 1 something is missing, 2 not understood."""
    options = _parser().parse_args(arguments)
    try:
        config = load_config(options.config, os.environ)
        configure(config.log)
        prompts = Prompts(config, config.data.folder)
    except (ConfigError, CatalogueError) as error:
        sys.stderr.write(f"veche: {error}\n")
        return 2
    if options.action == "list":
        language = options.language or prompts.languages[0]
        if language not in prompts.languages:
            sys.stderr.write(f"veche: prompts.languages has no {language}, only {', '.join(prompts.languages)}\n")
            return 2
        for word in prompts.script(language):
            sys.stdout.write(f"{word.name}\t{word.text}\n")
        return 0
    missing = asyncio.run(_speak(prompts, prepare=options.action == "prepare"))
    sys.stdout.write("".join(f"{line}\n" for line in missing))
    return 1 if missing else 0


async def _speak(prompts: Prompts, *, prepare: bool) -> list[str]:
    await prompts.start()
    if prepare:
        await prompts.prepared()
    missing = prompts.missing()
    await prompts.close()
    return missing


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m control.prompts", description=__doc__)
    parser.add_argument("--config", type=Path, help="a configuration file over the shipped one")
    actions = parser.add_subparsers(dest="action", required=True)
    script = actions.add_parser("list", help="every recording there can be: its name, a tab, the words")
    script.add_argument("language", nargs="?", help="ru, be, en; without: the first of prompts.languages")
    actions.add_parser("check", help="what is missing in texts and voices")
    actions.add_parser("prepare", help="speak the fixed prompts now")
    return parser


if __name__ == "__main__":
    sys.exit(main())
