"""What commands share: printing a result as text or JSON, options, locking and reading the bundle, paths.

Every command takes --json; `commands.group.BundleGroup` adds the option. A command builds its result once, as
a dict, and gives it to `show` together with the same as lines of text:

    show({"zip": path, "findings": findings}, f"zip: {relative(path)}", *map(str, findings))

Without --json the lines are printed. With it they are not, and when the command ends, exactly one document is
printed: what `show` was given (several calls are merged), or {"error": finding, "details": [...], "result":
...} when it failed, with the exit status that it has without --json. Values may be paths, findings,
dataclasses, dates, numpy arrays, mappings and sequences of these: see `plain`.

Whatever else a command prints (click.echo, print, displays of progress) is for a person: with --json it goes
to standard error, since sys.stdout is sys.stderr for as long as the command runs. So only results go through
`show`, and only a child process that inherits standard output needs a thought. A command that found errors
calls `show`, then sys.exit(1).
"""

import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from challenge_bundle.commands.setting_options import setting_option
from challenge_bundle.data_settings import DataSettings
from challenge_bundle.findings import Finding
from challenge_bundle.layout import Layout

if TYPE_CHECKING:
    from challenge_bundle.display import TerminalDisplay
    from challenge_bundle.settings import Bundle

RESULT = f"{__name__}.result"
JSON_STREAM = f"{__name__}.json"
"""Keys of click's Context.meta: the result so far, and where --json prints it."""

_URL = re.compile(r"\s*(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]+):[/\\]")


class LocalPath(click.Path):
    """A path on this machine; a URL, which would be taken for a folder such as `s3:`, is refused."""

    def convert(
        self, value: "str | os.PathLike[str]", param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Refuse a URL; else as click.Path."""
        found = _URL.match(os.fspath(value))
        if found:
            self.fail(
                f"a URL ({found['scheme']}:) is not taken here; expected a path on this machine", param, ctx
            )
        return super().convert(value, param, ctx)


def show(result: Mapping[str, Any], *lines: str) -> None:
    """Print a command's result: these lines, or, with --json and when the command ends, this document."""
    ctx = click.get_current_context()
    ctx.meta.setdefault(RESULT, {}).update(result)
    if JSON_STREAM not in ctx.meta:
        for line in lines:
            click.echo(line)


def is_json() -> bool:
    """Whether the result is printed as JSON; for a command whose text is written row by row."""
    return JSON_STREAM in click.get_current_context().meta


def plain(value: Any) -> Any:
    """A value as JSON has it: a path as its text, a finding as its fields, what is no number as null."""
    if isinstance(value, Finding):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


def choose_json(ctx: click.Context, param: click.Parameter, chosen: bool) -> None:
    """Have the result printed as JSON, and everything else to standard error."""
    if chosen and JSON_STREAM not in ctx.meta:
        ctx.meta[JSON_STREAM] = sys.stdout
        ctx.find_root().with_resource(redirect_stdout(sys.stderr))


json_option = click.option(
    "--json",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=choose_json,
    help="Print the result as one JSON document, and everything else to standard error.",
)

anonymous_option = setting_option(DataSettings, "anonymous")

wheelhouse_option = click.option(
    "--wheelhouse",
    envvar="BUNDLE_WHEELHOUSE",
    show_envvar=True,
    type=LocalPath(file_okay=False, path_type=Path),
    help="Build images from this folder of wheels, with no network; filled where it is not yet.",
)


@contextmanager
def working(layout: Layout, stages: int = 0) -> Iterator["TerminalDisplay"]:
    """Hold the bundle, finish what an interrupted import left, and show what is done."""
    from challenge_bundle.dataset.publish import recover_import
    from challenge_bundle.display import TerminalDisplay
    from challenge_bundle.lock import bundle_lock

    display = TerminalDisplay(stages)
    with bundle_lock(layout):
        recover_import(layout)
        try:
            yield display
        finally:
            display.close()


def read_bundle(layout: Layout) -> "Bundle":
    """The bundle as bundle.toml describes it."""
    from challenge_bundle.settings import read_manifest

    return read_manifest(layout.manifest)


def relative(path: Path) -> Path:
    """A path as seen from here, where that is shorter."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) and here.parent != here else path
