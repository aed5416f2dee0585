"""The participant's submission: packing it, and what would be refused of it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tools.commands.shared import read_bundle, relative, working
from tools.layout import Layout


@click.command("zip")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="submission.zip by default.")
@click.pass_obj
def zip_command(layout: Layout, output: Path | None) -> None:
    """Pack the inference submission: Dockerfile, code and model; the same content gives the same bytes."""
    from tools.checking import check_submission
    from tools.files import hash_file
    from tools.packing import pack_submission
    from tools.sources.placed import known_class_names

    bundle = read_bundle(layout)
    path = output or layout.submission_zip
    with working(layout):
        sizes = pack_submission(layout, path)
    for name, size in sizes.items():
        click.echo(f"{size:>12,}  {name}")
    click.echo(f"{path.stat().st_size:>12,}  {relative(path)}  (sha256 {hash_file(path)})")
    _show_findings(check_submission(path, bundle.submission, known_class_names(bundle, layout)))


@click.command()
@click.argument("submission", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def check(layout: Layout, submission: Path) -> None:
    """Say what the platform would refuse of SUBMISSION.zip (or of a results csv), and how to mend it."""
    from tools.checking import check_results, check_submission
    from tools.sources.placed import known_class_names

    bundle = read_bundle(layout)
    if submission.suffix.lower() == ".csv":
        count, warning = check_results(submission, bundle, layout)
        if warning:
            click.echo(f"warning: {warning}")
        click.echo(f"{submission.name}: good; {count:,} images, each with one class")
        return
    _show_findings(check_submission(submission, bundle.submission, known_class_names(bundle, layout)))
    click.echo(f"{submission.name}: good, nothing in it would be refused")


def _show_findings(findings: Sequence[Any]) -> None:
    for finding in findings:
        click.echo(str(finding))
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        click.echo(f"Error: the submission would be refused: {count} above", err=True)
        sys.exit(1)
