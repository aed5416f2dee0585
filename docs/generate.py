"""Write the pages of docs/reference/ that are made from the source: `python docs/generate.py [--check]`."""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import click

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "tools"), str(PROJECT / "docs")]

from messages import messages_page
from metrics_page import metrics_page

from challenge_bundle.cli import main as bundle
from challenge_bundle.formats.program_toml import Written
from challenge_bundle.formats.setting import REQUIRED, Setting, settings_of
from challenge_bundle.formats.toml_table import to_toml
from challenge_bundle.settings import DEFAULT_LIMITS, PROGRAM_NAMES, TABLES

COMMAND = "python tools/bundle.py"
MARK = "<!-- made by docs/generate.py from {}: change it there -->\n\n"


def bundle_toml_page() -> str:
    """Every key of bundle.toml and program.toml, from its declaration."""
    parts = [
        MARK.format("tools/challenge_bundle/settings.py and data_settings.py"),
        "# bundle.toml\n\n",
        "A bundle is a folder with a `bundle.toml`; `--bundle FOLDER` names it. Two lines are enough:\n\n",
        '```toml\n[bundle]\nname = "chest-x-rays"\n```\n\n',
        "Every other key has a default. A key that is not listed here is refused, with its line and the key"
        " that may be meant. An option of `data import` with the name of a key in `[data]` overrides it."
        " Sizes ending in `_mb` are in MiB, 1,048,576 bytes. Write a regular expression in single quotes.\n",
    ]
    for title, names in _sections():
        parts.append(f"\n## {title}\n\n{_first_line(TABLES[names[0]][0])}\n\n")
        settings = [one for cls in TABLES[names[0]] for one in settings_of(cls).values()]
        parts.append(_table(settings, names))
        header = f"[[{names[0]}]]" if names == ["phases"] else f"[{names[0]}]"
        lines = "\n".join(one.line for one in settings)
        parts.append(f"\nEvery key with an example:\n\n```toml\n{header}\n{lines}\n```\n")
    parts.append(
        "\n## program.toml\n\nA program names in `program.toml`, in its own folder, what it writes; names are"
        " relative to its output folder.\n\n"
    )
    parts.append(_table(settings_of(Written).values(), []))
    return "".join(parts)


def commands_page() -> str:
    """Every command with its options, from click's own objects."""
    ctx = click.Context(bundle, info_name=COMMAND)
    parts = [
        MARK.format("tools/challenge_bundle/commands/"),
        f"# Commands\n\n```text\n{COMMAND} [--bundle DIR] COMMAND\n```\n\n",
        f"An installed wheel brings the same command as `bundle`. {bundle.help}\n\n",
        _options(ctx, "--help", "--json"),
        "\nEvery command has `--help`, and `--json`: then standard output is exactly one JSON document, the"
        " result, or `error` (code, severity, location, message, hint, row), `details` and the `result` so"
        " far; everything else goes to standard error.\n\n"
        "Exit status: 0 done; 1 the input is at fault (manifest, data, submission), or findings contain an"
        " error; 2 the command line is at fault; 3 a program failed, refused its input, overran a limit or"
        " left out a file; 4 something is missing on this machine (an engine, a package, disk space or"
        " permissions, or another command is at work); 130 interrupted.\n",
    ]
    for title, commands in bundle.sections.items():
        parts.append(f"\n## {title}\n")
        for command in commands:
            parts.extend(_command(command, click.Context(command, parent=ctx, info_name=command.name)))
    return "".join(parts)


def _sections() -> Iterator[tuple[str, list[str]]]:
    """Headings, and the tables below each: the programs' tables have the same keys."""
    for name in TABLES:
        if name == PROGRAM_NAMES[0]:
            yield ", ".join(f"[{program}]" for program in PROGRAM_NAMES), list(PROGRAM_NAMES)
        elif name not in PROGRAM_NAMES:
            yield (f"[[{name}]]" if name == "phases" else f"[{name}]"), [name]


def _table(settings: Iterable[Setting], names: list[str]) -> str:
    rows = [
        f"| `{one.name}` | {_cell(one.values)} | {_cell(_default(one, names))} | {_cell(one.help)} |\n"
        for one in settings
    ]
    return "| key | value | default | what it is |\n|---|---|---|---|\n" + "".join(rows)


def _default(one: Setting, names: list[str]) -> str:
    if one.default_words:
        return one.default_words
    if one.default is REQUIRED and names == list(PROGRAM_NAMES):
        return ", ".join(to_toml(getattr(DEFAULT_LIMITS[name], one.name)) for name in names)
    if one.default is REQUIRED:
        return "required"
    return "none" if one.default in ((), "", None) else f"`{to_toml(one.default)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0]


def _command(command: click.Command, ctx: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        yield f"\n### {command.name}\n\n{_text(command.help or '')}"
        for name in command.list_commands(ctx):
            below = command.commands[name]
            yield from _command(below, click.Context(below, parent=ctx, info_name=name))
        return
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    name = ctx.command_path.removeprefix(f"{COMMAND} ")
    level = "###" if " " not in name else "####"
    options = _options(ctx, "--help", "--json")
    yield f"\n{level} {name}\n\n```text\n{usage}\n```\n\n{_text(command.help or '')}"
    yield f"\n{options}" if options else ""


def _text(help_text: str) -> str:
    """A command's help in Markdown: what click leaves as it is becomes a block of text."""
    paragraphs = []
    for paragraph in inspect.cleandoc(help_text).split("\n\n"):
        if paragraph.startswith("\b"):
            paragraphs.append(f"```text\n{paragraph.removeprefix(chr(8)).strip()}\n```")
        else:
            paragraphs.append(" ".join(paragraph.split()))
    return "\n\n".join(paragraphs) + "\n"


def _options(ctx: click.Context, *left_out: str) -> str:
    records = [
        parameter.get_help_record(ctx)
        for parameter in ctx.command.get_params(ctx)
        if not set(left_out) & set(parameter.opts)
    ]
    return "".join(
        f"- `{names}`: {text}\n" for names, text in (record for record in records if record and record[1])
    )


PAGES: dict[str, Callable[[], str]] = {
    "bundle-toml.md": bundle_toml_page,
    "commands.md": commands_page,
    "messages.md": messages_page,
    "metrics.md": partial(metrics_page, PROJECT, MARK),
}
"""The generated pages of docs/reference/."""


def main(arguments: list[str]) -> int:
    """Write the pages; with --check, only name those that are out of date."""
    stale = []
    for name, make in PAGES.items():
        path = PROJECT / "docs" / "reference" / name
        text = make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.relative_to(PROJECT))
            if arguments != ["--check"]:
                path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path}: out of date; run docs/generate.py" if arguments else f"{path}: written")
    return 1 if stale and arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
