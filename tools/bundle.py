"""The command line: parses, calls one function, prints. The only module that imports click."""

import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):
    # Started as a script: the folder that holds tools/, not tools/ itself, is where imports begin.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    _installed = Path(sys.path[0], ".venv", "Scripts/python.exe" if os.name == "nt" else "bin/python")
    if sys.prefix == sys.base_prefix and _installed.exists():
        # Started by a Python that has no packages of ours, while `make install` made one that has.
        os.execv(_installed, [str(_installed), *sys.argv])

try:
    import click
except ModuleNotFoundError:
    sys.exit("Error: click is not installed here; run `make install` (or `python install.py`) first")

from tools.audit.names import CHECKS
from tools.errors import BundleError, DataError, UnavailableError
from tools.layout import PROJECT_ROOT, Layout

if TYPE_CHECKING:
    from tools.display import TerminalDisplay
    from tools.evaluation.rescore import Move
    from tools.manifest import Bundle
    from tools.programs import Program
    from tools.runners.docker import DockerRunner
    from tools.store.images import ImageStore
    from tools.store.settings import StoreSettings

SHOWN_DETAILS = 20
INTERRUPTED = 130
"""As a shell reports it: 128 + SIGINT."""

RUN_ALL_STAGES = 5


class BundleGroup(click.Group):
    """A group whose commands end an expected failure in one line and its exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BundleError as fault:
            self.end(ctx, fault)
        except ModuleNotFoundError as fault:
            self.end(ctx, UnavailableError(f"{fault.name} is not installed here; run `make install`"))
        except OSError as fault:
            if fault.filename is None:
                raise
            cause = f"{fault.filename}: {fault.strerror}"
            self.end(ctx, UnavailableError(f"{cause}; look at the folder's owner, mode and free space"))
        except KeyboardInterrupt:
            click.echo("\nInterrupted; the same command goes on where it can.", err=True)
            ctx.exit(INTERRUPTED)
        except click.NoSuchOption as fault:
            if fault.ctx and any(parameter.name == "arguments" for parameter in fault.ctx.command.params):
                hint = f"{fault.message} Options of the program itself follow after --."
                raise click.UsageError(hint, fault.ctx) from None
            raise

    def end(self, ctx: click.Context, fault: BundleError) -> None:
        """Print an expected failure and end."""
        click.echo(f"Error: {fault}", err=True)
        for detail in fault.details[:SHOWN_DETAILS]:
            click.echo(f"       {detail}", err=True)
        if len(fault.details) > SHOWN_DETAILS:
            click.echo(f"       ... and {len(fault.details) - SHOWN_DETAILS} more", err=True)
        ctx.exit(fault.exit_code)


@click.group(
    cls=BundleGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.option(
    "--bundle",
    "root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=PROJECT_ROOT,
    help="Folder with the bundle.toml; this project's own by default.",
)
@click.version_option(package_name="challenge-bundle", message="%(version)s")
@click.pass_context
def main(ctx: click.Context, root: Path) -> None:
    """Turn images into a challenge: train, infer, score, pack, check and report."""
    ctx.obj = Layout(root.resolve())


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """How programs are to be run; see the options' help."""

    runner: str
    gpus: str
    wheelhouse: Path | None


database_option = click.option(
    "--database",
    envvar="BUNDLE_DATABASE",
    show_envvar=True,
    help="URL of the records, such as postgresql://HOST/NAME; a file in .bundle/evaluation/ by default.",
)

store_option = click.option(
    "--database",
    envvar="BUNDLE_STORE",
    show_envvar=True,
    help="URL, such as postgresql://HOST/NAME; else as .env's POSTGRES_HOST says; else .bundle/store.sqlite.",
)

output_option = click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="A csv file; printed by default."
)

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
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Build images from this folder of wheels, with no network; `wheelhouse` fills it.",
)


def image_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of building images."""
    gpus = click.option(
        "--gpus",
        type=click.Choice(["auto", "none", "all"]),
        default="auto",
        show_default=True,
        help="What the training container gets; auto gives NVIDIA GPUs if the engine has their runtime.",
    )
    return gpus(wheelhouse_option(command))


def runner_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of running programs; the command gets them as one RunnerOptions."""

    @functools.wraps(command)
    def with_options(*args: Any, runner: str, gpus: str, wheelhouse: Path | None, **kwargs: Any) -> None:
        command(*args, options=RunnerOptions(runner, gpus, wheelhouse), **kwargs)

    choice = click.option(
        "--runner",
        type=click.Choice(["auto", "docker", "local"]),
        default="auto",
        show_default=True,
        help="Containers, or plain processes (your own code only); auto takes Docker when an engine answers.",
    )
    return choice(image_options(with_options))


program_arguments = click.argument("arguments", nargs=-1, type=click.UNPROCESSED)


@main.command()
@click.pass_obj
def doctor(layout: Layout) -> None:
    """Say what this machine can run, and what is missing for the rest."""
    from tools.doctor import can_run, examine

    diagnoses = examine(layout)
    for diagnosis in diagnoses:
        sign = "ok     " if diagnosis.good else "MISSING" if diagnosis.needed else "-      "
        mend = f"\n{'':35}-> {diagnosis.mend}" if diagnosis.mend else ""
        click.echo(f"{sign} {diagnosis.subject:<26} {diagnosis.found}{mend}")
    if not can_run(diagnoses):
        sys.exit(4)


@main.group()
def data() -> None:
    """Fill input_data/, and find what is wrong with it."""


@data.command("import")
@click.argument("source", required=False)
@click.option(
    "--sample-size", type=click.IntRange(min=0), help="Images of each class in each split; 0 takes all."
)
@click.option("--seed", type=click.IntRange(min=0), help="Of sampling, splitting and making images.")
@click.option(
    "--group", metavar="REGEX", help="What it captures of a name, as a patient, stays in one split."
)
@click.option("--any-size", is_flag=True, help="Take images of different sizes.")
@click.option("--keep-names", is_flag=True, help="Keep file names where they would be replaced by numbers.")
@click.option("--replace", is_flag=True, help="Replace images even if no import put them there.")
@click.option("--allow-leaks", is_flag=True, help="Take testing images that are in the training split too.")
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
    replace: bool,
    allow_leaks: bool,
    anonymous: bool,
) -> None:
    """Fill input_data/ from SOURCE; bundle.toml's own by default.

    SOURCE is synthetic, mednist, folder:PATH, dicom:PATH[?label=TAG], s3://BUCKET/PREFIX (or another URL),
    coco:ANNOTATIONS.json?category=NAME, or a database that `store ingest` filled. A folder or URL holds
    CLASS/IMAGE or {train,val,test}/CLASS/IMAGE, a folder also the bundle layout (training-data/,
    training_solution.csv, ...). What was there stays whole until the new data are complete.
    """
    import dataclasses

    from tools.pipeline import describe, make_request
    from tools.sources.choice import choose_source
    from tools.sources.importing import import_images

    bundle = _read_bundle(layout)
    request = make_request(bundle)
    if source:
        # The manifest's sample size is of its own source; one that is named here is taken whole.
        request = dataclasses.replace(request, sample_size=0)
    if sample_size is not None:
        request = dataclasses.replace(request, sample_size=sample_size)
    if seed is not None:
        request = dataclasses.replace(request, seed=seed)
    if group is not None:
        request = dataclasses.replace(request, group=group)
    request = dataclasses.replace(request, any_size=any_size, keep_names=keep_names, replace=replace)
    request = dataclasses.replace(request, allow_leaks=allow_leaks or request.allow_leaks)
    anonymous = anonymous or bundle.data.anonymous
    named = (source, Path.cwd()) if source else (bundle.data.source, layout.root)
    chosen = choose_source(*named, anonymous)
    with _working(layout) as display:
        display.begin("import")
        summary = import_images(chosen, request, layout, display.progress)
        display.end(describe(summary))
    for warning in summary.warnings:
        click.echo(f"warning: {warning}")


@data.command("audit")
@click.option(
    "--check",
    "checks",
    type=click.Choice(list(CHECKS)),
    multiple=True,
    help="Make this check alone, or several; all by default.",
)
@click.option(
    "--group", help="Regular expression with one group: the patient in an original name, 'person(\\d+)_'."
)
@click.option(
    "--html", "page", type=click.Path(dir_okay=False, path_type=Path), help=".bundle/audit/audit.html."
)
@click.option(
    "--json", "document", type=click.Path(dir_okay=False, path_type=Path), help=".bundle/audit/audit.json."
)
@click.pass_obj
def audit_command(
    layout: Layout, checks: tuple[str, ...], group: str | None, page: Path | None, document: Path | None
) -> None:
    """Look for what spoils a challenge: copies and patients across splits, what tells the class, shifts.

    Also what trivial methods score. What needs the testing classes is left out where they are not. The exit
    status is 1 if there is an error among the findings.
    """
    from tools.audit.auditing import run_audit
    from tools.audit.groups import parse_group
    from tools.report.audit import audit_text, write_audit
    from tools.sources.placed import read_summary

    bundle, pattern = _read_bundle(layout), parse_group(group)
    page, document = page or layout.audit / "audit.html", document or layout.audit / "audit.json"
    with _working(layout) as display:
        if read_summary(layout) is None:
            raise DataError("holds no images yet; fill it with `data import`", layout.input_data)
        display.begin("audit")
        found = run_audit(layout, pattern, display.progress, checks)
        write_audit(found, layout, bundle.title, page, document)
    click.echo(audit_text(found))
    click.echo(
        f"page: {_relative(page)}   (open it: {page.resolve().as_uri()}; figures: {_relative(document)})"
    )
    if found.count("error"):
        sys.exit(1)


@data.command("contact-sheet")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("contact-sheet.png"),
    show_default=True,
    help="A .png or .html file.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Most images drawn, those with findings first; 0 draws all.",
)
def contact_sheet(folder: Path, output: Path, limit: int) -> None:
    """Draw the DICOM images of FOLDER: image, inner contour, outer contour and mask, side by side.

    FOLDER is in the link.csv layout, or holds plain DICOM series. All contours are checked: whether each has
    its image, lies on it, and the inner one inside the outer one.
    """
    from tools.dicom.sheet import write_sheet
    from tools.display import TerminalDisplay

    with closing(TerminalDisplay()) as display:
        display.begin("contact sheet")
        result = write_sheet(folder, output, limit, display.progress)
        display.end(f"{result.total} images, {result.inner} inner contours, {result.outer} outer contours")
    for finding in result.findings:
        click.echo(str(finding))
    click.echo(f"{len(result.findings)} findings")
    click.echo(f"contact sheet: {_relative(output.resolve())} ({result.shown} of {result.total} images)")


@main.group()
def store() -> None:
    """Keep images in a database: SQLite, or PostgreSQL by URL or .env."""


@store.command()
@click.argument("source", required=False)
@click.option(
    "--sample-size", type=click.IntRange(min=0), help="Images in all, of each class its share; 0: all."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the sample.")
@click.option("--group", metavar="REGEX", default="", help="What it captures of a name is the image's group.")
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
    """Bring the images of SOURCE (as of `data import`; IMAGES_S3_LOCATION by default) into the database.

    What is there is not read again, so that an ingest that broke off goes on, and a larger --sample-size
    (IMAGE_SAMPLE_SIZE by default) adds to the smaller one.
    """
    from tools.sources.base import ImportRequest
    from tools.sources.choice import choose_source
    from tools.sources.ingesting import ingest_images

    settings = _store_settings(layout)
    named = source or settings.source
    if named is None:
        raise DataError("no source is named; give one, or set IMAGES_S3_LOCATION in .env")
    chosen = choose_source(named, Path.cwd(), anonymous)
    size = settings.sample_size if sample_size is None else sample_size
    with _working(layout) as display, _opened_store(layout, database) as opened:
        display.begin("ingest")
        request = ImportRequest(sample_size=size, seed=seed, group=group)
        done = ingest_images(chosen, opened, request, display.progress, by_path)
        display.end(str(done))
    for warning in done.warnings:
        click.echo(f"warning: {warning}")


@store.command()
@click.argument("query")
@output_option
@store_option
@click.pass_obj
def query(layout: Layout, query: str, output: Path | None, database: str | None) -> None:
    """Print the images that meet the condition QUERY, or a named table, as csv; changes nothing.

    Tables: labels, sizes, groups, licenses, categories. A condition compares sha256, width, height, mode,
    format, label, group, split, origin, taken, added, license or path, asks has('CATEGORY') or street, and is
    joined by and, or, not: "label == 'CXR' and width >= 64".
    """
    from tools.store.query import run_query

    with _opened_store(layout, database) as opened:
        _write_rows(*run_query(opened, query), output)


@store.command("sample")
@click.argument("count", type=click.IntRange(min=1))
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--where", help="Of which images; a condition as of `store query`.")
@output_option
@store_option
@click.pass_obj
def sample_command(
    layout: Layout, count: int, seed: int, where: str | None, output: Path | None, database: str | None
) -> None:
    """Print COUNT images drawn at random, of each label its share, as csv.

    The same seed draws the same images from every database, and a larger COUNT more of them.
    """
    from tools.store.where import COLUMNS

    with _opened_store(layout, database) as opened:
        _write_rows(list(COLUMNS), opened.rows(where, count, seed), output)


@main.command()
@click.argument("programs", nargs=-1, type=click.Choice(["training", "inference", "scoring"]))
@image_options
@click.pass_obj
def build(layout: Layout, programs: tuple[str, ...], wheelhouse: Path | None, gpus: str) -> None:
    """Build the images of PROGRAMS, of all three by default; what is unchanged is not built again.

    The inference image holds the trained model, so train first.
    """
    from tools.programs import PROGRAMS, plan_run
    from tools.runners.docker import DockerRunner

    bundle = _read_bundle(layout)
    runner = DockerRunner.connect(gpus, wheelhouse)
    with closing(runner), _working(layout) as display:
        for name in programs or PROGRAMS:
            display.begin(name)
            display.end(runner.build(plan_run(PROGRAMS[name], bundle, layout, ()), display.line))


@main.command("wheelhouse")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--python-version", default="3.11", show_default=True, help="Of the images.")
@click.option("--machine", type=click.Choice(["x86_64", "aarch64"]), default="x86_64", show_default=True)
@click.pass_obj
def wheelhouse_command(layout: Layout, folder: Path, python_version: str, machine: str) -> None:
    """Fill FOLDER with the wheels that `build --wheelhouse FOLDER` installs where there is no network.

    pip is asked as it is set up here; for torch's CPU build, set it up with PyTorch's index of those.
    """
    from tools.programs import PROGRAMS
    from tools.wheelhouse import fill_wheelhouse

    for program in PROGRAMS.values():
        count = fill_wheelhouse(program, layout, folder, python_version, machine, click.echo)
        click.echo(f"{folder / program.folder}: {count} wheels")


@main.command()
@runner_options
@program_arguments
@click.pass_obj
def train(layout: Layout, options: RunnerOptions, arguments: tuple[str, ...]) -> None:
    """Run the training program; options after -- go to it (try: train -- --help)."""
    from tools.programs import TRAINING

    if _run(TRAINING, layout, options, arguments):
        click.echo(f"model: {layout.model_output}")
        click.echo(f"curves: {Path(sys.executable).with_name('tensorboard')} --logdir {layout.model_output}")


@main.command()
@runner_options
@program_arguments
@click.pass_obj
def infer(layout: Layout, options: RunnerOptions, arguments: tuple[str, ...]) -> None:
    """Run the inference program on the testing images; options after -- go to it."""
    from tools.programs import INFERENCE

    if _run(INFERENCE, layout, options, arguments):
        click.echo(f"predictions: {layout.results_csv}")


@main.command()
@runner_options
@program_arguments
@click.pass_obj
def score(layout: Layout, options: RunnerOptions, arguments: tuple[str, ...]) -> None:
    """Run the scoring program on reference and predictions; options after -- go to it."""
    from tools.programs import SCORING

    if _run(SCORING, layout, options, arguments):
        click.echo(f"scores: {layout.scoring_output / 'scores.txt'}")


@main.command("run-all")
@runner_options
@click.option("--fresh", is_flag=True, help="Run what is unchanged as well.")
@program_arguments
@click.pass_obj
def run_all_command(layout: Layout, options: RunnerOptions, fresh: bool, arguments: tuple[str, ...]) -> None:
    """Go from images to score: import if there are none, train, infer, score, report.

    What is unchanged since the last run is reused. Options after -- go to training.
    """
    from tools.formats.scores import HEADLINE
    from tools.pipeline import run_all
    from tools.runners.choice import choose_runner

    bundle = _read_bundle(layout)
    runner, why = choose_runner(options.runner, options.gpus, options.wheelhouse)
    click.echo(f"bundle: {bundle.name}\nrunner: {why}")
    with closing(runner), _working(layout, RUN_ALL_STAGES) as display:
        verdict = run_all(bundle, layout, runner, arguments, display, fresh)
    click.echo()
    if verdict.scores is None or verdict.report is None:
        click.echo(f"predictions: {_relative(layout.results_csv)}")
        click.echo("There is no reference here to score them with: the organiser has it. Next: zip, check.")
        return
    for name in HEADLINE:
        interval = verdict.scores.intervals[name]
        click.echo(
            f"{name:<19} {verdict.scores.values[name]:.4f}"
            f"   (95 % interval {interval.low:.4f} to {interval.high:.4f})"
        )
    click.echo(f"\nscores: {_relative(layout.scoring_output / 'scores.txt')}")
    click.echo(f"report: {_relative(verdict.report)}   (open it: {verdict.report.as_uri()})")


@main.command("zip")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="submission.zip by default.")
@click.pass_obj
def zip_command(layout: Layout, output: Path | None) -> None:
    """Pack the inference submission: Dockerfile, code and model; the same content gives the same bytes."""
    from tools.checking import check_submission
    from tools.files import hash_file
    from tools.packing import pack_submission
    from tools.sources.placed import known_class_names

    bundle = _read_bundle(layout)
    path = output or layout.submission_zip
    with _working(layout):
        sizes = pack_submission(layout, path)
    for name, size in sizes.items():
        click.echo(f"{size:>12,}  {name}")
    click.echo(f"{path.stat().st_size:>12,}  {_relative(path)}  (sha256 {hash_file(path)})")
    _show_findings(check_submission(path, bundle.submission, known_class_names(bundle, layout)))


@main.command()
@click.argument("submission", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def check(layout: Layout, submission: Path) -> None:
    """Say what the platform would refuse of SUBMISSION.zip (or of a results csv), and how to mend it."""
    from tools.checking import check_results, check_submission
    from tools.sources.placed import known_class_names

    bundle = _read_bundle(layout)
    if submission.suffix.lower() == ".csv":
        count, warning = check_results(submission, bundle, layout)
        if warning:
            click.echo(f"warning: {warning}")
        click.echo(f"{submission.name}: good; {count:,} images, each with one class")
        return
    _show_findings(check_submission(submission, bundle.submission, known_class_names(bundle, layout)))
    click.echo(f"{submission.name}: good, nothing in it would be refused")


@main.command()
@click.pass_obj
def report(layout: Layout) -> None:
    """Write the HTML report: scores, confusion matrix, per class, wrong cases, data, training."""
    from tools.report.page import write_report
    from tools.sources.placed import read_summary

    bundle = _read_bundle(layout)
    with _working(layout):
        summary = read_summary(layout)
        if summary is None:
            raise DataError("there is nothing to report yet; run `run-all` first", layout.scoring_output)
        if not summary.has_reference:
            raise DataError("not found; the organiser has it, and the report", layout.solution_csv("testing"))
        path = write_report(bundle, layout, summary.source)
    click.echo(f"report: {_relative(path)}   (open it: {path.as_uri()})")


@main.command("evaluate")
@click.argument("submissions", nargs=-1, type=click.Path(path_type=Path))
@click.option("--workers", type=click.IntRange(min=0), default=0, help="At a time; 0 is as many as fit.")
@click.option("--rescore", is_flag=True, help="First score every stored csv again, where that changed.")
@click.option(
    "--reopen", metavar="SHA256", help="Evaluate one again that was refused by the organiser's mistake."
)
@click.option("--probe", is_flag=True, help="Then run each on renamed, reordered, single and stripped files.")
@database_option
@wheelhouse_option
@click.pass_obj
def evaluate_command(
    layout: Layout,
    submissions: tuple[Path, ...],
    workers: int,
    rescore: bool,
    reopen: str | None,
    probe: bool,
    database: str | None,
    wheelhouse: Path | None,
) -> None:
    """Evaluate strangers' SUBMISSIONS (zips, or folders of them): take in, build, run in the sandbox, score.

    What an earlier run did, however it ended, is not done again; without SUBMISSIONS, what has not ended
    goes on. A zip is named TEAM__METHOD.zip, or holds a submission.toml with team and method; its file's time
    counts as the time at which it was received.
    """
    from tools.display import SubmissionDisplay
    from tools.evaluation.evaluate import reopen as reopen_submission
    from tools.evaluation.intake import describe
    from tools.evaluation.service import opened, run_evaluation, run_probe, run_rescore

    connect = _connector(wheelhouse)
    with _working(layout) as display, opened(_read_bundle(layout), layout, database) as (site, records):
        if reopen:
            click.echo(f"evaluated again: {describe(reopen_submission(site, records, reopen))}")
        if rescore:
            _show_moves(run_rescore(site, records, connect, display.progress))
        with SubmissionDisplay() as table:
            done = run_evaluation(site, records, connect, submissions, workers, table.show, click.echo)
        found = run_probe(site, records, connect, display.progress) if probe else []
    for line in (*done.lines(), *(line for row in found for line in row.probe_lines())):
        click.echo(line)
    click.echo(f"feedback: {_relative(layout.evaluation / 'feedback')}   Next: leaderboard")
    if done.waiting:
        raise UnavailableError(f"{len(done.waiting)} submissions wait; mend it, and run `evaluate` again")


@main.command("step")
@click.argument("name", type=click.Choice(["build", "inference", "scoring"]))
@click.argument("submission")
@wheelhouse_option
@click.pass_obj
def step_command(layout: Layout, name: str, submission: str, wheelhouse: Path | None) -> None:
    """Do a step of a SUBMISSION (its SHA-256) that was taken in; for a scheduler of your own.

    A step that is done is not done again, and `evaluate` takes over what was done. It holds no lock, so that
    steps of different submissions can run at the same time, on any machine that shares the folder.
    """
    from tools.evaluation.service import run_step

    record = run_step(_read_bundle(layout), layout, _connector(wheelhouse), submission, name)
    click.echo(f"{name}: {record.verdict or 'done'}")
    click.echo(f"record: {_relative(record.folder)}")


@main.command()
@click.option("--phase", help="Of bundle.toml; the last that has opened by default.")
@click.option(
    "--part", type=click.Choice(["all", "public", "final"]), help="Of the cases; the phase's by default."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help=".bundle/leaderboards/PHASE-PART by default.",
)
@database_option
@click.pass_obj
def leaderboard(
    layout: Layout, phase: str | None, part: str | None, output: Path | None, database: str | None
) -> None:
    """Rank the submissions, with their uncertainty; writes leaderboard.html, .json and .csv."""
    from tools.evaluation.service import opened
    from tools.evaluation.standings import make_board
    from tools.report.board import board_text, write_board

    with _working(layout), opened(_read_bundle(layout), layout, database) as (site, records):
        board = make_board(site, records, phase, part)
        page = write_board(board, output or layout.leaderboard(board.phase, board.part))
        probed = [line for row in records.rows() if row.probe for line in row.probe_lines()]
    click.echo(board_text(board))
    for line in probed:
        click.echo(line)
    if board.part == "final":
        click.echo("This board shows the hidden part: publish it when the phase is over.")
    click.echo(f"page: {_relative(page)}   (open it: {page.resolve().as_uri()}; .json and .csv beside it)")


@main.command()
@click.argument("receipt", type=click.Path(dir_okay=False, path_type=Path))
@database_option
@wheelhouse_option
@click.pass_obj
def verify(layout: Layout, receipt: Path, database: str | None, wheelhouse: Path | None) -> None:
    """Score the csv of a RECEIPT again, and compare all that it says, to the bit."""
    from tools.evaluation.service import opened, run_verify

    with _working(layout), opened(_read_bundle(layout), layout, database) as (site, records):
        checks = run_verify(site, records, _connector(wheelhouse), receipt)
    for check in checks:
        click.echo(
            f"{'same   ' if check.good else 'DIFFERS'} {check.what}" + (f": {check.found}" * (not check.good))
        )
    if not all(check.good for check in checks):
        raise DataError("not what it was when the receipt was written; see above", receipt)


def _connector(wheelhouse: Path | None) -> "Callable[[], DockerRunner]":
    """How a stranger's code is run: in containers, or not at all."""
    from tools.runners.docker import DockerRunner

    return functools.partial(DockerRunner.connect, "none", wheelhouse)


def _show_moves(moves: "Sequence[Move]") -> None:
    for move in moves:
        click.echo(str(move))
    click.echo(f"scored again: {len(moves)} changed in score or place")


def _run(program: "Program", layout: Layout, options: RunnerOptions, arguments: Sequence[str]) -> bool:
    """Run a program, or show its help; tells which."""
    from tools.programs import run_program, show_help
    from tools.runners.choice import choose_runner
    from tools.sources.placed import check_together

    if {"-h", "--help"} & set(arguments):
        show_help(program, layout)
        return False
    bundle = _read_bundle(layout)
    runner, why = choose_runner(options.runner, options.gpus, options.wheelhouse)
    click.echo(f"runner: {why}")
    with closing(runner), _working(layout) as display:
        check_together(layout)
        display.begin(program.name)
        seconds = run_program(program, bundle, layout, runner, arguments, display.line)
        display.end(f"{seconds:.1f} s")
    return True


@contextmanager
def _working(layout: Layout, stages: int = 0) -> Iterator["TerminalDisplay"]:
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


def _read_bundle(layout: Layout) -> "Bundle":
    from tools.manifest import read_manifest

    return read_manifest(layout.manifest)


def _store_settings(layout: Layout) -> "StoreSettings":
    from tools.store.settings import read_settings

    return read_settings(layout.env_file, layout.store_file, os.environ)


@contextmanager
def _opened_store(layout: Layout, database: str | None) -> Iterator["ImageStore"]:
    from tools.store.images import ImageStore

    layout.state.mkdir(exist_ok=True)
    with closing(ImageStore(database or _store_settings(layout).url)) as opened:
        yield opened


def _write_rows(columns: Sequence[str], rows: Iterator[tuple[Any, ...]], output: Path | None) -> None:
    from tools.files import replacing
    from tools.store.query import write_rows

    if output is None:
        write_rows(columns, rows, sys.stdout)
        return
    with replacing(output) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        count = write_rows(columns, rows, out)
    click.echo(f"{count:,} rows: {_relative(output)}")


def _show_findings(findings: Sequence[Any]) -> None:
    for finding in findings:
        click.echo(str(finding))
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        click.echo(f"Error: the submission would be refused: {count} above", err=True)
        sys.exit(1)


def _relative(path: Path) -> Path:
    """A path as seen from here, where that is shorter."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) and here.parent != here else path


if __name__ == "__main__":
    main()
