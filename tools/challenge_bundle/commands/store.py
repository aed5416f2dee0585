"""`store`: the image database."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from challenge_bundle.commands.error_boundary import OrderedGroup
from challenge_bundle.commands.setting_options import setting_option
from challenge_bundle.commands.shared import (
    LocalPath,
    anonymous_option,
    is_json,
    plain,
    read_bundle,
    relative,
    show,
    working,
)
from challenge_bundle.data_settings import ImportSettings
from challenge_bundle.errors import DataError
from challenge_bundle.layout import Layout

if TYPE_CHECKING:
    from challenge_bundle.store.connection import StoreSettings
    from challenge_bundle.store.images import ImageStore

store_option = click.option(
    "--database",
    envvar="BUNDLE_STORE",
    show_envvar=True,
    help="URL, such as postgresql://HOST/NAME; else POSTGRES_HOST of .env, else .bundle/store.sqlite.",
)

output_option = click.option(
    "--output", type=LocalPath(dir_okay=False, path_type=Path), help="A csv file; printed by default."
)


_MOST = 2**31 - 1
"""What every database keeps in a column of whole numbers."""


@click.group(cls=OrderedGroup)
def store() -> None:
    """Keep images in a database, SQLite or PostgreSQL."""


@store.command()
@click.argument("source", required=False)
@setting_option(
    ImportSettings, "sample_size", help="Images to take in all, of each class its share; 0 takes all."
)
@setting_option(ImportSettings, "seed", default=0, show_default=True, help="Seed of the sample.")
@setting_option(ImportSettings, "group", default="")
@click.option("--by-path", is_flag=True, help="Leave local images where they are, and store their paths.")
@anonymous_option
@store_option
@click.pass_obj
def ingest(
    layout: Layout,
    source: str | None,
    sample_size: int | None,
    seed: int,
    group: str,
    by_path: bool,
    anonymous: bool,
    database: str | None,
) -> None:
    """Bring images into the database.

    SOURCE is as in `data import`, by default IMAGES_S3_LOCATION. What is in the database is not read again:
    an interrupted ingest continues, and a larger --sample-size (by default IMAGE_SAMPLE_SIZE) adds to a
    smaller one.
    """
    from challenge_bundle.data_settings import ImportRequest
    from challenge_bundle.dataset.ingest import ingest_images
    from challenge_bundle.formats.group_rules import resolve_group
    from challenge_bundle.formats.tasks import CLASSIFICATION
    from challenge_bundle.sources.choice import choose_source

    settings = _store_settings(layout)
    named = source or settings.source
    if named is None:
        raise DataError(
            "no source is named",
            code="source-missing",
            hint="give one, or set IMAGES_S3_LOCATION in .env",
        )
    chosen = choose_source(named, Path.cwd(), anonymous, layout)
    size = settings.sample_size if sample_size is None else sample_size
    with working(layout) as display, _opened_store(layout, database, create=True) as opened:
        display.begin("ingest")
        task = read_bundle(layout).task if layout.manifest.is_file() else CLASSIFICATION
        rule = resolve_group(group, Path.cwd())
        request = ImportRequest(sample_size=size, seed=seed, group=rule, task=task)
        done = ingest_images(chosen, opened, request, display.progress, by_path)
        display.end(str(done))
    show(plain(done), *map(str, done.findings))


@store.command()
@click.argument("query")
@output_option
@store_option
@click.pass_obj
def query(layout: Layout, query: str, output: Path | None, database: str | None) -> None:
    """Print the images that meet a condition, or a table, as csv.

    QUERY is a condition, or the name of a table: labels, sizes, groups, licenses, categories, datasets. A
    condition compares sha256, width, height, mode, format, label, group, split, origin, taken, added, license
    or path, asks has('CATEGORY') or street, and is joined by and, or, not.

    Example: store query "label == 'CXR' and width >= 64"
    """
    from challenge_bundle.store.query import run_query

    with _opened_store(layout, database) as opened:
        _write_rows(*run_query(opened, query), output)


@store.command("sample")
@click.argument("count", type=click.IntRange(min=1, max=_MOST))
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the draw.")
@click.option("--where", help="Draw from the images that meet this condition, as in `store query`.")
@output_option
@store_option
@click.pass_obj
def sample_command(
    layout: Layout, count: int, seed: int, where: str | None, output: Path | None, database: str | None
) -> None:
    """Print COUNT images drawn at random, as csv.

    Each label has its share. The same seed draws the same images from every database, and a larger COUNT adds
    to a smaller one.
    """
    from challenge_bundle.store.where import COLUMNS

    with _opened_store(layout, database) as opened:
        written = _write_rows(list(COLUMNS), opened.rows(where, count, seed), output)
    if written < count:
        click.echo(f"{written:,} images are all there are; {count:,} were asked for", err=True)


@store.command()
@click.argument("condition")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@store_option
@click.pass_obj
def remove(layout: Layout, condition: str, yes: bool, database: str | None) -> None:
    """Delete the images that meet CONDITION (as of `store query`), with their annotations.

    This fixes a wrong label or group: the next ingest brings the images again, with their source's values.
    """
    with _opened_store(layout, database) as opened:
        count = opened.count(condition)
        if count and not yes:
            _confirm(count)
        with working(layout):
            removed = opened.remove(condition) if count else 0
    show({"removed": removed}, f"{removed:,} images removed")


def _confirm(count: int) -> None:
    """Ask whether so many images are to be deleted.

    Raises:
        UsageError: Nobody can be asked.
        Abort: They are not.
    """
    if not sys.stdin.isatty():
        raise click.UsageError(f"{count:,} images would be removed; confirm it with --yes")
    click.confirm(f"Remove {count:,} images?", abort=True)


def _store_settings(layout: Layout) -> "StoreSettings":
    from challenge_bundle.store.connection import read_settings

    return read_settings(layout.env_file, layout.store_file, os.environ)


@contextmanager
def _opened_store(layout: Layout, database: str | None, create: bool = False) -> Iterator["ImageStore"]:
    from challenge_bundle.store.images import ImageStore

    with closing(ImageStore(database or _store_settings(layout).url, create)) as opened:
        yield opened


def _write_rows(columns: Sequence[str], rows: Iterator[tuple[Any, ...]], output: Path | None) -> int:
    from challenge_bundle.files import replacing
    from challenge_bundle.store.query import write_rows

    if output is None and is_json():
        found = [dict(zip(columns, row, strict=True)) for row in rows]
        show({"rows": found})
        return len(found)
    if output is None:
        return write_rows(columns, rows, sys.stdout)
    with replacing(output) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        count = write_rows(columns, rows, out)
    show({"output": output, "count": count}, f"{count:,} rows: {relative(output)}")
    return count
