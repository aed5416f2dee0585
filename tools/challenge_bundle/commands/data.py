"""`data`: filling input_data/ and looking for faults in it."""

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from challenge_bundle.audit.names import CHECKS
from challenge_bundle.commands.setting_options import setting_options
from challenge_bundle.commands.shared import LocalPath, choose_json, read_bundle, relative, show, working
from challenge_bundle.data_settings import DataSettings, ImportRequest, ImportSettings
from challenge_bundle.errors import DataError
from challenge_bundle.formats.setting import settings_of
from challenge_bundle.layout import SPLITS, Layout


@click.group()
def data() -> None:
    """Fill input_data/, and find what is wrong with it."""


@data.command("import")
@click.argument("source", required=False)
@setting_options(DataSettings, "source")
@setting_options(ImportRequest, *settings_of(ImportSettings))
@click.pass_obj
def import_command(layout: Layout, /, source: str | None, **options: Any) -> None:
    """Fill input_data/ with the images of SOURCE.

    Without SOURCE, bundle.toml's data.source is taken; an option overrides the setting of the same name in
    [data]. What is in input_data/ stays complete until the new data are.

    \b
    SOURCE is one of
      synthetic, mednist
      folder:PATH    CLASS/IMAGE, {train,val,test}/CLASS/IMAGE, or the bundle layout
      csv:FILE[?file=COLUMN&class=COLUMN]
      dicom:PATH[?label=TAG]
      coco:ANNOTATIONS.json?category=NAME
      s3://BUCKET/PREFIX    or another URL
      store[?where=CONDITION]    what `store ingest` brought into the database

    \b
    Examples:
      data import folder:scans --group 'patient([0-9]+)_' --strip-metadata
      data import 's3://my-bucket/scans' --sample-size 100 --seed 7
    """  # noqa: D301 - click's mark of lines that stay as they are
    from challenge_bundle.dataset.fill import describe_classes, fill

    given = {name: value for name, value in options.items() if value is not None}
    if given.get("keep_names") and given.get("new_names"):
        raise click.UsageError("--keep-names and --new-names contradict each other; leave one out")
    with working(layout) as display:
        summary = fill(read_bundle(layout), layout, source, given, Path.cwd(), display)
    result = {
        "input_data": layout.input_data,
        "source": summary.source,
        "counts": summary.counts,
        "classes": summary.classes,
        "groups": {"count": summary.groups[0], "in_two_splits": summary.groups[1]},
        "warnings": summary.warnings,
    }
    show(result, describe_classes(summary), *(f"warning: {warning}" for warning in summary.warnings))


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
