"""Running the three programs, one by one or all; what they need and what came of them."""

import functools
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from challenge_bundle.commands.shared import LocalPath, read_bundle, relative, wheelhouse_option, working
from challenge_bundle.errors import DataError
from challenge_bundle.layout import Layout

if TYPE_CHECKING:
    from challenge_bundle.runs.programs import Program

RUN_ALL_STAGES = 5


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """How programs are to be run; see the options' help."""

    runner: str
    gpus: str
    wheelhouse: Path | None


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
        envvar="BUNDLE_RUNNER",
        show_envvar=True,
        show_default=True,
        help="Containers, or plain processes (your own code only); auto takes Docker when an engine answers.",
    )
    return choice(image_options(with_options))


program_arguments = click.argument("arguments", nargs=-1, type=click.UNPROCESSED)


@click.command()
@click.pass_obj
def doctor(layout: Layout) -> None:
    """Say what this machine can run, and what is missing for the rest."""
    from challenge_bundle.doctor import can_run, examine

    diagnoses = examine(layout)
    for diagnosis in diagnoses:
        sign = "ok     " if diagnosis.good else "MISSING" if diagnosis.needed else "-      "
        mend = f"\n{'':35}-> {diagnosis.mend}" if diagnosis.mend else ""
        click.echo(f"{sign} {diagnosis.subject:<26} {diagnosis.found}{mend}")
    if not can_run(diagnoses):
        sys.exit(4)


@click.command()
@click.argument("programs", nargs=-1, type=click.Choice(["training", "inference", "scoring"]))
@image_options
@click.pass_obj
def build(layout: Layout, programs: tuple[str, ...], wheelhouse: Path | None, gpus: str) -> None:
    """Build the images of PROGRAMS, of all three by default; what is unchanged is not built again.

    The inference image holds the trained model, so train first.
    """
    from challenge_bundle.engines.choice import connect_isolated
    from challenge_bundle.runs.programs import PROGRAMS, build_image
    from challenge_bundle.wheelhouse import give_wheels

    bundle = read_bundle(layout)
    engine = connect_isolated(gpus, wheelhouse)
    with closing(engine), working(layout) as display:
        chosen = [PROGRAMS[name] for name in programs or PROGRAMS]
        give_wheels(engine, chosen, bundle, layout, display.line)
        for name in programs or PROGRAMS:
            display.begin(name)
            display.end(build_image(engine, PROGRAMS[name], bundle, layout, display.line))


@click.command("wheelhouse")
@click.argument(
    "folder", required=False, envvar="BUNDLE_WHEELHOUSE", type=LocalPath(file_okay=False, path_type=Path)
)
@click.option(
    "--program",
    "programs",
    multiple=True,
    type=click.Choice(["training", "inference", "scoring"]),
    help="Only its wheels; may be repeated.",
)
@click.option("--python-version", help="Of the images; by default that of their base image.")
@click.option("--machine", type=click.Choice(["x86_64", "aarch64"]), help="The engine's by default.")
@click.pass_obj
def wheelhouse_command(
    layout: Layout,
    folder: Path | None,
    programs: tuple[str, ...],
    python_version: str | None,
    machine: str | None,
) -> None:
    """Fill FOLDER (.bundle/wheelhouse) with the wheels that images are built from where there is no network.

    `evaluate` takes .bundle/wheelhouse by itself, and fills it by itself where this machine has a package
    index. pip is asked as it is set up here; for torch's CPU build, set it up with PyTorch's index of those.
    """
    from challenge_bundle.runs.programs import PROGRAMS
    from challenge_bundle.wheelhouse import Target, default_target, fill_wheelhouse

    bundle = read_bundle(layout)
    target_folder = folder or layout.wheelhouse
    with working(layout):
        for name in programs or PROGRAMS:
            program = PROGRAMS[name]
            found = default_target(program, bundle, layout)
            target = Target(python_version or found.python_version, machine or found.machine)
            count = fill_wheelhouse(program, bundle, layout, target_folder, target, click.echo)
            click.echo(f"{target_folder / program.folder}: {count} wheels")


@click.command()
@runner_options
@program_arguments
@click.pass_obj
def train(layout: Layout, options: RunnerOptions, arguments: tuple[str, ...]) -> None:
    """Run the training program; options after -- go to it (try: train -- --help)."""
    from challenge_bundle.runs.programs import TRAINING, written_by

    if _run(TRAINING, layout, options, arguments):
        names = ", ".join(written_by(TRAINING, layout).outputs)
        click.echo(f"model: {relative(layout.model_output)} ({names})")
        if layout.curves.is_dir():
            click.echo(f"curves: {Path(sys.executable).with_name('tensorboard')} --logdir {layout.curves}")


@click.command()
@runner_options
@program_arguments
@click.pass_obj
def infer(layout: Layout, options: RunnerOptions, arguments: tuple[str, ...]) -> None:
    """Run the inference program on the testing images; options after -- go to it."""
    from challenge_bundle.runs.programs import INFERENCE, may_be_of_other_data

    if _run(INFERENCE, layout, options, arguments):
        click.echo(f"predictions: {layout.results_csv}")
        if may_be_of_other_data(layout):
            click.echo(
                "warning: the model is older than the last import: it may have learned images that are tested"
                " now; run `train` again"
            )


@click.command()
@runner_options
@program_arguments
@click.pass_obj
def score(layout: Layout, options: RunnerOptions, arguments: tuple[str, ...]) -> None:
    """Run the scoring program on reference and predictions; options after -- go to it."""
    from challenge_bundle.runs.programs import SCORING

    if _run(SCORING, layout, options, arguments):
        click.echo(f"scores: {layout.scoring_output / 'scores.txt'}")


@click.command("run-all")
@runner_options
@click.option("--fresh", is_flag=True, help="Run what is unchanged as well.")
@program_arguments
@click.pass_obj
def run_all_command(layout: Layout, options: RunnerOptions, fresh: bool, arguments: tuple[str, ...]) -> None:
    """Go from images to score: import if there are none, train, infer, score, report.

    What is unchanged since the last run is reused. Options after -- go to training.
    """
    from challenge_bundle.engines.choice import choose_engine
    from challenge_bundle.formats.scores import HEADLINE
    from challenge_bundle.new_bundle import write_manifest
    from challenge_bundle.run_all import run_all
    from challenge_bundle.runs.programs import PROGRAMS
    from challenge_bundle.wheelhouse import give_wheels

    if not layout.manifest.exists():
        written = write_manifest(layout)
        click.echo(f"wrote {relative(layout.manifest)}, for there was none: a bundle named '{written.name}'")
    bundle = read_bundle(layout)
    engine, why = choose_engine(options.runner, options.gpus, options.wheelhouse)
    click.echo(f"bundle: {bundle.name}\nrunner: {why}")
    with closing(engine), working(layout, RUN_ALL_STAGES) as display:
        give_wheels(engine, list(PROGRAMS.values()), bundle, layout, display.line)
        verdict = run_all(bundle, layout, engine, arguments, display, fresh)
    click.echo()
    if verdict.scores is None or verdict.report is None:
        click.echo(f"predictions: {relative(layout.results_csv)}")
        click.echo("There is no reference here to score them with: the organiser has it. Next: zip, check.")
        return
    for name in HEADLINE:
        interval = verdict.scores.intervals[name]
        click.echo(
            f"{name:<19} {verdict.scores.values[name]:.4f}"
            f"   (95 % interval {interval.low:.4f} to {interval.high:.4f})"
        )
    click.echo(f"\nscores: {relative(layout.scoring_output / 'scores.txt')}")
    click.echo(f"report: {relative(verdict.report)}   (open it: {verdict.report.as_uri()})")


@click.command()
@click.pass_obj
def report(layout: Layout) -> None:
    """Write the HTML report: scores, confusion matrix, per class, wrong cases, data, training."""
    from challenge_bundle.dataset.summary import read_summary
    from challenge_bundle.report.model_page import write_report

    bundle = read_bundle(layout)
    with working(layout):
        summary = read_summary(layout)
        if summary is None:
            raise DataError("there is nothing to report yet; run `run-all` first", layout.scoring_output)
        if not summary.has_reference:
            raise DataError("not found; the organiser has it, and the report", layout.solution_csv("testing"))
        path = write_report(bundle, layout, summary.source)
    click.echo(f"report: {relative(path)}   (open it: {path.as_uri()})")


def _run(program: "Program", layout: Layout, options: RunnerOptions, arguments: Sequence[str]) -> bool:
    """Run a program, or show its help; tells which."""
    from challenge_bundle.dataset.summary import check_together
    from challenge_bundle.engines.choice import choose_engine
    from challenge_bundle.runs.programs import run_program, show_help
    from challenge_bundle.wheelhouse import give_wheels

    if {"-h", "--help"} & set(arguments):
        show_help(program, layout)
        return False
    bundle = read_bundle(layout)
    engine, why = choose_engine(options.runner, options.gpus, options.wheelhouse)
    click.echo(f"runner: {why}")
    with closing(engine), working(layout) as display:
        check_together(layout)
        give_wheels(engine, (program,), bundle, layout, display.line)
        display.begin(program.name)
        seconds = run_program(program, bundle, layout, engine, arguments, display.line)
        display.end(f"{seconds:.1f} s")
    return True
