"""`data`: filling input_data/ and looking for faults in it."""

import sys
from contextlib import closing
from pathlib import Path

import click

from challenge_bundle.audit.names import CHECKS
from challenge_bundle.commands.shared import (
    LocalPath,
    anonymous_option,
    choose_json,
    read_bundle,
    relative,
    working,
)
from challenge_bundle.errors import DataError
from challenge_bundle.layout import SPLITS, Layout


@click.group()
def data() -> None:
    """Fill input_data/, and find what is wrong with it."""


@data.command("import")
@click.argument("source", required=False)
@click.option(
    "--sample-size", type=click.IntRange(min=0), help="Images of each class in each split; 0 takes all."
)
@click.option("--seed", type=click.IntRange(min=0), help="Of sampling, splitting and making images.")
@click.option(
    "--group",
    metavar="RULE",
    help="What stays in one split, as a patient: what a regular expression captures of a name, or"
    " csv:FILE[?file=COLUMN&group=COLUMN].",
)
@click.option("--any-size", is_flag=True, help="Take images of different sizes.")
@click.option("--keep-names", is_flag=True, help="Keep file names where they would be replaced by numbers.")
@click.option(
    "--keep-splits", is_flag=True, help="Images of the last import keep their split; deal new ones alone."
)
@click.option("--new-names", is_flag=True, help="Number the images of a folder in the bundle layout too.")
@click.option("--drop-copies", is_flag=True, help="Keep one image of those with the same pixels.")
@click.option(
    "--replace",
    is_flag=True,
    help="Replace images that no import put there; put an evaluation of other images away.",
)
@click.option(
    "--allow-leaks",
    is_flag=True,
    help="Take testing images, and patients of theirs, that are in training too.",
)
@click.option(
    "--strip-metadata", is_flag=True, help="Remove EXIF, comments and other texts; the pixels stay the same."
)
@anonymous_option
@click.pass_obj
def import_command(
    layout: Layout,
    source: str | None,
    sample_size: int | None,
    seed: int | None,
    group: str | None,
    any_size: bool,
    keep_names: bool,
    keep_splits: bool,
    new_names: bool,
    drop_copies: bool,
    replace: bool,
    allow_leaks: bool,
    strip_metadata: bool,
    anonymous: bool,
) -> None:
    """Fill input_data/ from SOURCE; bundle.toml's own by default.

    SOURCE is synthetic, mednist, folder:PATH, csv:FILE[?file=COLUMN&class=COLUMN], dicom:PATH[?label=TAG],
    s3://BUCKET/PREFIX (or another URL), coco:ANNOTATIONS.json?category=NAME, or store[?where=CONDITION],
    which `store ingest` filled. A folder or URL holds CLASS/IMAGE or {train,val,test}/CLASS/IMAGE, a folder
    also the bundle layout (training-data/, training_solution.csv, ...). What was there stays whole until the
    new data are complete.
    """
    import dataclasses

    from challenge_bundle.dataset.importer import import_images
    from challenge_bundle.dataset.summary import refuse_another_source
    from challenge_bundle.formats.group_rules import resolve_group
    from challenge_bundle.run_all import describe, describe_classes, make_request
    from challenge_bundle.sources.choice import choose_source

    if keep_names and new_names:
        raise click.UsageError("--keep-names and --new-names say the opposite; leave one out")
    bundle = read_bundle(layout)
    request = make_request(bundle, layout)
    if source:
        # The manifest's sample size is of its own source; one that is named here is taken whole.
        request = dataclasses.replace(request, sample_size=0)
    if sample_size is not None:
        request = dataclasses.replace(request, sample_size=sample_size)
    if seed is not None:
        request = dataclasses.replace(request, seed=seed)
    if group is not None:
        request = dataclasses.replace(request, group=resolve_group(group, Path.cwd()))
    request = dataclasses.replace(request, keep_names=keep_names, replace=replace)
    request = dataclasses.replace(
        request, keep_splits=keep_splits, new_names=new_names, drop_copies=drop_copies
    )
    request = dataclasses.replace(
        request,
        any_size=any_size or request.any_size,
        allow_leaks=allow_leaks or request.allow_leaks,
    )
    request = dataclasses.replace(request, strip_metadata=strip_metadata or request.strip_metadata)
    anonymous = anonymous or bundle.data.anonymous
    named = (source, Path.cwd()) if source else (bundle.data.source, layout.root)
    chosen = choose_source(*named, anonymous, layout)
    with working(layout) as display:
        if not source and not replace:
            refuse_another_source(layout, chosen.description)
        display.begin("import")
        summary = import_images(chosen, request, layout, display.progress)
        display.end(describe(summary))
    click.echo(describe_classes(summary))
    for warning in summary.warnings:
        click.echo(f"warning: {warning}")


@data.command("relabel")
@click.argument("corrections", type=LocalPath(dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do it; without this, only say what would change.")
@click.pass_obj
def relabel_command(layout: Layout, corrections: Path, yes: bool) -> None:
    """Correct classes: CORRECTIONS is a csv with the header file,class and a row for each image that changes.

    What was there is kept in .bundle/relabels/. Which testing images are public stays as it is. The source of
    the images is not changed: correct it too, or the next `data import` brings the old classes back.
    """
    from challenge_bundle.dataset.invalidate import count_evaluated
    from challenge_bundle.dataset.relabel import apply_corrections, read_corrections
    from challenge_bundle.evaluation.context import read_context
    from challenge_bundle.evaluation.relabel_effects import count_by_part

    with working(layout):
        found = read_corrections(corrections, layout)
        taken, scored = count_evaluated(layout)
        tested = any(one.split == "testing" for one in found)
        # Read before anything changes: this keeps which image is in which part.
        parts = count_by_part(read_context(read_bundle(layout), layout), found) if tested and taken else {}
        kept = apply_corrections(found, corrections, layout) if found and yes else None
    for one in found:
        click.echo(f"{one.split:<10} {one.name}: {one.before} -> {one.after}")
    counts = ", ".join(f"{sum(one.split == split for one in found)} {split}" for split in SPLITS)
    click.echo(f"classes that change: {counts}" + "".join(f"; {n} in part {p}" for p, n in parts.items()))
    if any(one.split != "testing" for one in found):
        click.echo("training images change: `run-all` trains again, and participants need the new csv files")
    if tested and scored:
        click.echo(f"scored submissions: {scored}; `leaderboard` refuses them until `evaluate --rescore`")
    if kept:
        click.echo(f"corrected; what was there is in {relative(kept)}")
    elif found:
        click.echo("nothing was changed; to do it, add --yes")


def _choose_document(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """As every command's --json; of the audit it may also name a file, for the figures alone."""
    printed = value == Path("-")
    choose_json(ctx, param, printed)
    return None if printed else value


@data.command("audit")
@click.option(
    "--check",
    "checks",
    type=click.Choice(list(CHECKS)),
    multiple=True,
    help="Make this check alone, or several; all by default.",
)
@click.option(
    "--group",
    metavar="RULE",
    help="Who is a patient, as of `data import`; what that was told by default, else a guess from names.",
)
@click.option(
    "--contours",
    type=LocalPath(exists=True, file_okay=False, path_type=Path),
    help="Check this folder's contours too; of `data import dicom:FOLDER` with a link.csv by default.",
)
@click.option(
    "--html", "page", type=LocalPath(dir_okay=False, path_type=Path), help=".bundle/audit/audit.html."
)
@click.option(
    "--json",
    "document",
    metavar="[FILE]",
    is_flag=False,
    flag_value="-",
    type=LocalPath(dir_okay=False, path_type=Path),
    callback=_choose_document,
    help="Print the result as one JSON document; with FILE, write it there (.bundle/audit/audit.json).",
)
@click.pass_obj
def audit_command(
    layout: Layout,
    checks: tuple[str, ...],
    group: str | None,
    contours: Path | None,
    page: Path | None,
    document: Path | None,
) -> None:
    """Look for what spoils a challenge: copies and patients across splits, what tells the class, shifts.

    Also what trivial methods score. What needs the testing classes is left out where they are not. The exit
    status is 1 if there is an error among the findings.
    """
    from challenge_bundle.audit.contours import linked_folder
    from challenge_bundle.audit.run import run_audit
    from challenge_bundle.dataset.summary import read_summary
    from challenge_bundle.formats.group_rules import parse_group_rule
    from challenge_bundle.report.audit_page import audit_text, write_audit

    bundle, rule = read_bundle(layout), parse_group_rule(group, Path.cwd()) if group else None
    page, document = page or layout.audit / "audit.html", document or layout.audit / "audit.json"
    with working(layout) as display:
        summary = read_summary(layout)
        if summary is None:
            raise DataError("holds no images yet; fill it with `data import`", layout.input_data)
        display.begin("audit")
        contours = contours or linked_folder(summary.source, summary.class_names)
        source = summary.source if summary.request else ""
        found = run_audit(layout, rule, contours, display.progress, checks)
        write_audit(found, layout, bundle.title, page, document, source)
    click.echo(audit_text(found))
    click.echo(
        f"page: {relative(page)}   (open it: {page.resolve().as_uri()}; figures: {relative(document)})"
    )
    if found.count("error"):
        sys.exit(1)


@data.command("contact-sheet")
@click.argument("folder", type=LocalPath(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--output",
    type=LocalPath(dir_okay=False, path_type=Path),
    help="A .png or .html file; .bundle/contact-sheet.png by default.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Most images drawn, those with findings first; 0 draws all.",
)
@click.pass_obj
def contact_sheet(layout: Layout, folder: Path, output: Path | None, limit: int) -> None:
    """Draw the DICOM images of FOLDER: image, inner contour, outer contour and mask, side by side.

    FOLDER is in the link.csv layout, or holds plain DICOM series. All contours are checked: whether each has
    its image, lies on it, and the inner one inside the outer one. Dark images are drawn brighter than they
    are imported. The exit status is 1 if there is an error among the findings.
    """
    from challenge_bundle.dicom.contact_sheet import write_sheet
    from challenge_bundle.display import TerminalDisplay

    with closing(TerminalDisplay()) as display:
        display.begin("contact sheet")
        result = write_sheet(folder, output or layout.contact_sheet, limit, display.progress)
        display.end(f"{result.total} images, {result.inner} inner contours, {result.outer} outer contours")
    for finding in result.findings:
        click.echo(str(finding))
    click.echo(f"{len(result.findings)} finding{'' if len(result.findings) == 1 else 's'}")
    shown = f"{result.shown} of {result.total} images"
    click.echo(f"contact sheet: {relative(result.path.resolve())} ({shown})")
    if any(finding.severity == "error" for finding in result.findings):
        sys.exit(1)
