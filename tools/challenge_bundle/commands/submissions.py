"""The participant's submission: packing it, and what would be refused of it; the kit that says the rules."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from challenge_bundle.commands.shared import LocalPath, read_bundle, relative, wheelhouse_option, working
from challenge_bundle.layout import Layout

if TYPE_CHECKING:
    from challenge_bundle.findings import Finding


@click.command("zip")
@click.option("--output", type=LocalPath(dir_okay=False, path_type=Path), help="submission.zip by default.")
@click.option("--team", help="Whose it is, for a challenge that takes zips: written into submission.toml.")
@click.option("--method", help="What it is called on the board, likewise.")
@click.pass_obj
def zip_command(layout: Layout, output: Path | None, team: str | None, method: str | None) -> None:
    """Pack the inference submission: Dockerfile, code and model; the same content gives the same bytes."""
    from challenge_bundle.files import hash_file
    from challenge_bundle.submission.pack import not_copied, pack_submission

    path = output or layout.submission_zip
    if method is not None and team is None:
        raise click.UsageError("--method needs --team: a method is that of a team.")
    names = [_clean(name, text) for name, text in (("--team", team), ("--method", method))]
    with working(layout):
        sizes = pack_submission(layout, path, *names)
    for name, size in sizes.items():
        click.echo(f"{size:>12,}  {name}")
    click.echo(f"{path.stat().st_size:>12,}  {relative(path)}  (sha256 {hash_file(path)})")
    _show_findings([*_find(layout, path), *not_copied(layout, sizes)])


@click.command()
@click.argument("submission", type=LocalPath(dir_okay=False, path_type=Path))
@click.pass_obj
def check(layout: Layout, submission: Path) -> None:
    """Say what would be refused of SUBMISSION.zip (or of a results csv), and what to do.

    With a participant kit as --bundle, by the rules of that challenge.
    """
    from challenge_bundle.formats.kit_json import KIT_NAME
    from challenge_bundle.submission.check import check_results

    if submission.suffix.lower() == ".csv":
        count, warning = check_results(submission, read_bundle(layout), layout)
        if warning:
            click.echo(f"warning: {warning}")
        click.echo(f"{submission.name}: good; {count:,} images, each with one class")
        return
    _show_findings(_find(layout, submission))
    rules = "by the rules of the kit" if (layout.root / KIT_NAME).exists() else "by what is known here"
    click.echo(f"{submission.name}: good, nothing in it would be refused ({rules})")


@click.command()
@click.argument("output", metavar="DIR|FILE.zip|FILE.tar", type=LocalPath(path_type=Path))
@wheelhouse_option
@click.pass_obj
def kit(layout: Layout, output: Path, wheelhouse: Path | None) -> None:
    """Write the participant kit: images, public rules, what can be installed; never what is hidden.

    Participants give it to the tool as --bundle. The same content gives the same bytes.
    """
    from challenge_bundle.kit.write import write_kit
    from challenge_bundle.wheelhouse import read_offer

    bundle = read_bundle(layout)
    with working(layout) as display:
        offer = read_offer(bundle, layout, wheelhouse, display.line)
        count = write_kit(bundle, layout, offer, output)
    given = "a network" if offer.wheels is None else f"{len(offer.wheels)} packages"
    click.echo(f"kit: {relative(output)} ({count:,} files); submissions are built with {given}")


def _clean(option: str, text: str | None) -> str:
    """A name for submission.toml.

    Raises:
        UsageError: It would be shown otherwise than it was given.
    """
    from challenge_bundle.evaluation.teams import clean_name

    name = clean_name(text or "")
    if text is not None and (name != text.strip() or not name):
        raise click.UsageError(
            f"{option} would be shown as {name!r}; give a name of up to 64 visible characters."
        )
    return name


def _find(layout: Layout, path: Path) -> "list[Finding]":
    """All that would be refused of a zip, as `evaluate` finds it."""
    from datetime import UTC, datetime

    from challenge_bundle.dataset.summary import known_class_names
    from challenge_bundle.evaluation.intake import check_sender
    from challenge_bundle.formats.kit_json import KIT_NAME
    from challenge_bundle.submission.check import check_submission
    from challenge_bundle.wheelhouse import read_rules

    bundle = read_bundle(layout)
    has_reference = layout.solution_csv("testing").exists()
    rules = read_rules(bundle, layout, layout.wheelhouse if has_reference else None)
    findings = check_submission(path, bundle.submission, known_class_names(bundle, layout), rules)
    is_ruled = (layout.root / KIT_NAME).exists()
    return [*findings, *check_sender(path, bundle, datetime.now(UTC), is_ruled)]


def _show_findings(findings: "Sequence[Finding]") -> None:
    for finding in findings:
        click.echo(str(finding))
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        click.echo(f"Error: the submission would be refused: {count} above", err=True)
        sys.exit(1)
