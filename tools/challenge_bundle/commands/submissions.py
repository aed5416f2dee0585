"""The participant's submission: packing and checking it; the kit that participants start from."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from challenge_bundle.commands.shared import (
    LocalPath,
    read_bundle,
    relative,
    show,
    wheelhouse_option,
    working,
)
from challenge_bundle.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from challenge_bundle.findings import Finding


@click.command("zip")
@click.option(
    "--output",
    type=LocalPath(dir_okay=False, path_type=Path),
    help="By default submission.zip.",
)
@click.option("--team", help="Your team's name, written into submission.toml for the organiser.")
@click.option("--method", help="The method's name on the board, written into submission.toml; needs --team.")
@click.pass_obj
def zip_command(layout: Layout, output: Path | None, team: str | None, method: str | None) -> None:
    """Pack the inference program and its model as a submission.

    The zip holds what the Dockerfile copies; the same content gives the same bytes. It is checked as by
    `check`.

    Example: zip --team "Blue team" --method "Two networks"
    """
    from challenge_bundle.evaluation.dry_run import find_refusals
    from challenge_bundle.files import hash_file
    from challenge_bundle.submission.pack import not_copied, pack_submission

    path = output or layout.submission_zip
    if method is not None and team is None:
        raise click.UsageError("--method needs --team: a method belongs to a team.")
    names = [_clean(name, text) for name, text in (("--team", team), ("--method", method))]
    with working(layout):
        sizes = pack_submission(layout, path, *names)
    digest = hash_file(path)
    show(
        {"zip": path, "bytes": path.stat().st_size, "sha256": digest, "files": sizes},
        *(f"{size:>12,}  {name}" for name, size in sizes.items()),
        f"{path.stat().st_size:>12,}  {relative(path)}  (sha256 {digest})",
    )
    _show_findings([*find_refusals(path, read_bundle(layout), layout), *not_copied(layout, sizes)])


@click.command()
@click.argument("submission", type=LocalPath(dir_okay=False, path_type=Path))
@click.pass_obj
def check(layout: Layout, submission: Path) -> None:
    """Check a submission as the organiser will.

    SUBMISSION is a zip, or a csv of predictions. What would be refused is reported, with what to do. With a
    participant kit as --bundle, the rules of that challenge are applied. The exit status is 1 if something
    would be refused.
    """
    from challenge_bundle.evaluation.dry_run import find_refusals
    from challenge_bundle.formats.kit_json import KIT_NAME
    from challenge_bundle.submission.predictions import check_predictions

    if submission.suffix.lower() == ".csv":
        count, findings = check_predictions(submission, read_bundle(layout), layout)
        show({"submission": submission, "images": count})
        _show_findings(findings)
        show({}, f"{submission.name}: good; {count:,} images, each with one row")
        return
    has_rules = (layout.root / KIT_NAME).exists()
    show({"submission": submission, "has_rules_of_a_kit": has_rules})
    _show_findings(find_refusals(submission, read_bundle(layout), layout))
    rules = "by the rules of the kit" if has_rules else "by what is known here"
    show({}, f"{submission.name}: good, nothing in it would be refused ({rules})")


@click.command()
@click.argument("output", metavar="DIR|FILE.zip|FILE.tar", type=LocalPath(path_type=Path))
@wheelhouse_option
@click.pass_obj
def kit(layout: Layout, output: Path, wheelhouse: Path | None) -> None:
    """Write the kit that participants start from.

    It holds the images, the public rules and the list of packages that can be installed, and nothing hidden.
    Participants use it as --bundle. The same content gives the same bytes.
    """
    from challenge_bundle.kit.write import write_kit
    from challenge_bundle.wheelhouse import read_offer

    bundle = read_bundle(layout)
    with working(layout) as display:
        offer = read_offer(bundle, layout, wheelhouse, display.line)
        count = write_kit(bundle, layout, offer, output)
    given = "a network" if offer.wheels is None else f"{len(offer.wheels)} packages"
    show(
        {"kit": output, "files": count, "packages": offer.wheels},
        f"kit: {relative(output)} ({count:,} files); submissions are built with {given}",
    )


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


def _show_findings(findings: "Sequence[Finding]") -> None:
    show({"findings": findings}, *map(str, findings))
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        click.echo(f"Error: the submission would be refused: {count} above", err=True)
        sys.exit(1)
