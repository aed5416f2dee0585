"""What commands of several modules share: two options, holding and reading the bundle, showing paths."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from challenge_bundle.layout import Layout

if TYPE_CHECKING:
    from challenge_bundle.display import TerminalDisplay
    from challenge_bundle.settings import Bundle

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


anonymous_option = click.option(
    "--anonymous",
    is_flag=True,
    envvar="BUNDLE_ANONYMOUS",
    show_envvar=True,
    help="Ask a server without credentials, as for a public bucket.",
)

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
    """What bundle.toml says."""
    from challenge_bundle.settings import read_manifest

    return read_manifest(layout.manifest)


def relative(path: Path) -> Path:
    """A path as seen from here, where that is shorter."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) and here.parent != here else path
