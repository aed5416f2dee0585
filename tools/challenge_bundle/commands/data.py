"""`data`: filling input_data/ with images, and checking them."""

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from challenge_bundle.audit.check_names import CHECKS
from challenge_bundle.commands.error_boundary import OrderedGroup
from challenge_bundle.commands.setting_options import setting_options
from challenge_bundle.commands.shared import LocalPath, choose_json, read_bundle, relative, show, working
from challenge_bundle.data_settings import DataSettings, ImportRequest, ImportSettings
from challenge_bundle.errors import DataError
from challenge_bundle.formats.setting import settings_of
from challenge_bundle.layout import SPLITS, Layout


@click.group(cls=OrderedGroup)
def data() -> None:
    """Fill input_data/ with images, and check them."""


@data.command("import")
@click.argument("source", required=False)
@setting_options(DataSettings, "source")
@setting_options(ImportRequest, *settings_of(ImportSettings))
@click.pass_obj
def import_command(layout: Layout, /, source: str | None, **options: Any) -> None:
    """Fill input_data/ with the images of SOURCE.

    Without SOURCE, bundle.toml's data.source is taken; an option overrides the setting of the same name in
    [data]; its sample_size counts for data.source alone. What is in input_data/ stays complete until the
    new data are.

    \b
    SOURCE is one of
      synthetic, mednist
      folder:PATH    CLASS/IMAGE, {train,val,test}/CLASS/IMAGE, or the bundle layout
      csv:FILE[?file=COLUMN&class=COLUMN]    or value=COLUMN, or a column per label
      dicom:PATH[?label=TAG]
      coco:ANNOTATIONS.json[?category=NAME]
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
        "task": summary.task,
        "classes": summary.classes,
        "patient_groups": {"count": summary.patient_groups[0], "in_two_splits": summary.patient_groups[1]},
        "findings": summary.findings,
    }
    show(result, describe_classes(summary), *map(str, summary.findings))


@data.command("relabel")
@click.argument("corrections", type=LocalPath(dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Correct the labels; without it, only show what would change.")
@click.pass_obj
def relabel_command(layout: Layout, corrections: Path, yes: bool) -> None:
    """Correct the labels of imported images.

    CORRECTIONS is a csv with one row per image that changes: file,class, or, as the bundle's own csv files,
    file,value or file and one column for each label. The former csv files are kept in .bundle/relabels/.
    Which testing images are in the public split does not change. Correct the source of the images too, or
    the next `data import` brings the old labels back.
    """
    from challenge_bundle.dataset.invalidate import count_evaluated
    from challenge_bundle.dataset.relabel import apply_corrections, read_corrections
    from challenge_bundle.evaluation.context import read_context
    from challenge_bundle.evaluation.relabel_effects import count_by_split
    from challenge_bundle.formats.tasks import show_label

    with working(layout):
        found = read_corrections(corrections, layout)
        taken, scored = count_evaluated(layout)
        tested = any(one.split == "testing" for one in found)
        # Read before anything changes: this stores which image is in which split of the test set.
        effects = count_by_split(read_context(read_bundle(layout), layout), found) if tested and taken else {}
        kept = apply_corrections(found, corrections, layout) if found and yes else None
    counts = {split: sum(one.split == split for one in found) for split in SPLITS}
    text = ", ".join(f"{count} {split}" for split, count in counts.items())
    lines = [
        f"{one.split:<10} {one.name}: {show_label(one.before)} -> {show_label(one.after)}" for one in found
    ]
    where = "".join(f"; {count} in the {name} split" for name, count in effects.items())
    lines.append(f"labels that change: {text}{where}")
    if any(one.split != "testing" for one in found):
        lines.append(
            "training images change: `run-all` trains again, and participants need the new csv files"
        )
    if tested and scored:
        lines.append(f"scored submissions: {scored}; `leaderboard` refuses them until `evaluate --rescore`")
    if kept:
        lines.append(f"corrected; the former csv files are in {relative(kept)}")
    elif found:
        lines.append("nothing was changed; to correct the labels, add --yes")
    result = {
        "changes": found,
        "counts": counts,
        "split_of_the_test_set": effects,
        "scored_submissions": scored if tested else 0,
        "is_corrected": kept is not None,
        "former_files": kept,
    }
    show(result, *lines)


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
    help="Run only this check; may be repeated. By default all run.",
)
@click.option(
    "--group",
    metavar="RULE",
    help="How images of one patient are recognised, as in `data import`; by default as the import did, else"
    " guessed from file names.",
)
@click.option(
    "--contours",
    type=LocalPath(exists=True, file_okay=False, path_type=Path),
    help="Check this folder's contours too; by default those of an import from dicom:FOLDER with a link.csv.",
)
@click.option(
    "--html",
    "page",
    type=LocalPath(dir_okay=False, path_type=Path),
    help="Page to write; by default .bundle/audit/audit.html.",
)
@click.option(
    "--json",
    "document",
    metavar="[FILE]",
    is_flag=False,
    flag_value="-",
    type=LocalPath(dir_okay=False, path_type=Path),
    callback=_choose_document,
    help="Print the result as one JSON document; with FILE, write it there; by default"
    " .bundle/audit/audit.json.",
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
    """Look for faults in the data that would spoil a challenge.

    Such as duplicates and patients across splits, label leakage, shifts between splits, and what trivial
    methods score. Checks that need the testing classes are left out where these are missing. The exit status
    is 1 if there is an error among the findings.
    """
    import json

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
            raise DataError(
                "holds no images yet", layout.input_data, code="no-images", hint="fill it with `data import`"
            )
        display.begin("audit")
        contours = contours or linked_folder(summary.source, summary.class_names)
        source = summary.source if summary.request else ""
        found = run_audit(layout, rule, contours, display.progress, checks)
        write_audit(found, layout, bundle.title, page, document, source)
    show(
        {"page": page, "figures": document, **json.loads(document.read_text(encoding="utf-8"))},
        audit_text(found),
        f"page: {relative(page)}   (open it: {page.resolve().as_uri()}; figures: {relative(document)})",
    )
    if found.count("error"):
        sys.exit(1)


@data.command("contact-sheet")
@click.argument("folder", type=LocalPath(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--output",
    type=LocalPath(dir_okay=False, path_type=Path),
    help="A .png or .html file; by default .bundle/contact-sheet.png.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Number of images drawn, those with findings first; 0 draws all.",
)
@click.pass_obj
def contact_sheet(layout: Layout, folder: Path, output: Path | None, limit: int) -> None:
    """Draw DICOM images with their contours and masks.

    FOLDER is in the link.csv layout, or holds plain DICOM series. All contours are checked: whether each has
    an image, lies inside it, and the inner one lies inside the outer one. Dark images are drawn brighter than
    they are imported. The exit status is 1 if there is an error among the findings.
    """
    from challenge_bundle.dicom.contact_sheet import write_sheet
    from challenge_bundle.display import TerminalDisplay

    with closing(TerminalDisplay()) as display:
        display.begin("contact sheet")
        result = write_sheet(folder, output or layout.contact_sheet, limit, display.progress)
        display.end(f"{result.total} images, {result.inner} inner contours, {result.outer} outer contours")
    show(
        {
            "contact_sheet": result.path.resolve(),
            "shown": result.shown,
            "images": result.total,
            "inner_contours": result.inner,
            "outer_contours": result.outer,
            "findings": result.findings,
        },
        *map(str, result.findings),
        f"{len(result.findings)} finding{'' if len(result.findings) == 1 else 's'}",
        f"contact sheet: {relative(result.path.resolve())} ({result.shown} of {result.total} images)",
    )
    if any(finding.severity == "error" for finding in result.findings):
        sys.exit(1)
