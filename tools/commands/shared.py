"""What commands of several modules share: two options, holding and reading the bundle, showing paths."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tools.layout import Layout

if TYPE_CHECKING:
    from tools.display import TerminalDisplay
    from tools.manifest import Bundle

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
    type=click.Path(file_okay=False, path_type=Path),
    help="Build images from this folder of wheels, with no network; filled where it is not yet.",
)


@contextmanager
def working(layout: Layout, stages: int = 0) -> Iterator["TerminalDisplay"]:
    """Hold the bundle, finish what an interrupted import left, and show what is done."""
    from tools.display import TerminalDisplay
    from tools.lock import bundle_lock
    from tools.sources.publishing import recover_import

    display = TerminalDisplay(stages)
    with bundle_lock(layout):
        recover_import(layout)
        try:
            yield display
        finally:
            display.close()


def read_bundle(layout: Layout) -> "Bundle":
    """What bundle.toml says."""
    from tools.manifest import read_manifest

    return read_manifest(layout.manifest)


def relative(path: Path) -> Path:
    """A path as seen from here, where that is shorter."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) and here.parent != here else path
