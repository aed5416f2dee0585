"""Running the three programs, one by one or all, and what they need."""

import functools
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from challenge_bundle.findings import Finding
    from challenge_bundle.formats.scores import Scores
    from challenge_bundle.runs.programs import Program

RUN_ALL_STAGES = 5

PROGRAM_CHOICE = click.Choice(["training", "inference", "scoring"])


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """The options of running programs; see their help."""

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
        help="GPUs of the training container; auto gives NVIDIA GPUs if the engine has their runtime.",
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
        help="Run in containers (docker) or as plain processes (local, for your own code only); auto takes"
        " Docker when an engine answers.",
    )
    return choice(image_options(with_options))


program_arguments = click.argument("arguments", nargs=-1, type=click.UNPROCESSED)


@click.command()
@click.pass_obj
def doctor(layout: Layout) -> None:
    """Check what this machine can run, and what is missing.

    The exit status is 4 if something that every command needs is missing.
    """
    from challenge_bundle.doctor import can_run, examine

    findings = examine(layout)
    runs = can_run(findings)
    show({"can_run": runs, "findings": findings}, *map(_doctor_line, findings))
    if not runs:
        sys.exit(4)


def _doctor_line(finding: "Finding") -> str:
    sign = {"note": "ok     ", "warning": "-      ", "error": "MISSING"}[finding.severity]
    hint = f"\n{'':35}-> {finding.hint}" if finding.hint else ""
    return f"{sign} {finding.location:<26} {finding.message}{hint}"


@click.command()
@click.argument("programs", nargs=-1, type=PROGRAM_CHOICE)
@image_options
@click.pass_obj
def build(layout: Layout, programs: tuple[str, ...], wheelhouse: Path | None, gpus: str) -> None:
    """Build the container images of PROGRAMS, by default all three.

    What is unchanged is not built again. The inference image holds the trained model, so train first.
    """
    from challenge_bundle.engines.choice import connect_isolated
    from challenge_bundle.runs.programs import PROGRAMS, build_image
    from challenge_bundle.wheelhouse import give_wheels

    bundle = read_bundle(layout)
    engine = connect_isolated(gpus, wheelhouse)
    images = {}
    with closing(engine), working(layout) as display:
        chosen = [PROGRAMS[name] for name in programs or PROGRAMS]
        give_wheels(engine, chosen, bundle, layout, display.line)
        for program in chosen:
            display.begin(program.name)
            images[program.name] = build_image(engine, program, bundle, layout, display.line)
            display.end(images[program.name])
    show({"images": images})


@click.command("wheelhouse")
@click.argument(
    "folder", required=False, envvar="BUNDLE_WHEELHOUSE", type=LocalPath(file_okay=False, path_type=Path)
)
@click.option(
    "--program", "programs", multiple=True, type=PROGRAM_CHOICE, help="Only its wheels; may be repeated."
)
@click.option("--python-version", metavar="X.Y", help="Python of the images; by default of their base image.")
@click.option(
    "--machine",
    type=click.Choice(["x86_64", "aarch64"]),
    help="By default the engine's.",
)
@click.pass_obj
def wheelhouse_command(
    layout: Layout,
    folder: Path | None,
    programs: tuple[str, ...],
    python_version: str | None,
    machine: str | None,
) -> None:
    """Download wheels, to build images without a network.

    They go into FOLDER, by default .bundle/wheelhouse. `evaluate` uses that folder, and fills it itself where
    this machine has a package index. Wheels are downloaded by pip with its settings; for torch's CPU build,
    configure PyTorch's index of those.
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
            place = target_folder / program.folder
            show({name: {"folder": place, "wheels": count}}, f"{place}: {count} wheels")


@click.command()
@runner_options
@program_arguments
@click.pass_obj
def train(layout: Layout, options: RunnerOptions, arguments: tuple[str, ...]) -> None:
    """Run the training program.

    Options after -- go to the program; `train -- --help` lists them.

    Example: train --runner local -- --epochs 20
    """
    from challenge_bundle.runs.programs import TRAINING, written_by

    if _run(TRAINING, layout, options, arguments):
        names = written_by(TRAINING, layout).outputs
        show(
            {"model": {name: layout.model_output / name for name in names}},
            f"model: {relative(layout.model_output)} ({', '.join(names)})",
        )
        if layout.curves.is_dir():
            tensorboard = Path(sys.executable).with_name("tensorboard")
            show({"curves": layout.curves}, f"curves: {tensorboard} --logdir {layout.curves}")


@click.command()
@runner_options
@program_arguments
@click.pass_obj
def infer(layout: Layout, options: RunnerOptions, arguments: tuple[str, ...]) -> None:
    """Run the inference program on the testing images.

    Options after -- go to the program; `infer -- --help` lists them.
    """
    from challenge_bundle.run_all import find_stale_model
    from challenge_bundle.runs.programs import INFERENCE

    if _run(INFERENCE, layout, options, arguments):
        findings = find_stale_model(layout)
        show(
            {"predictions": layout.results_csv, "findings": findings},
            f"predictions: {relative(layout.results_csv)}",
            *map(str, findings),
        )


@click.command()
@runner_options
@program_arguments
@click.pass_obj
def score(layout: Layout, options: RunnerOptions, arguments: tuple[str, ...]) -> None:
    """Run the scoring program on reference and predictions.

    Options after -- go to the program; `score -- --help` lists them.
    """
    from challenge_bundle.formats.scores import read_values
    from challenge_bundle.runs.programs import SCORING

    if _run(SCORING, layout, options, arguments):
        path = layout.scoring_output / "scores.txt"
        show({"scores_txt": path, "scores": read_values(path.with_suffix(".json"))}, f"scores: {path}")


def _score_line(scores: "Scores", name: str) -> str:
    """A score as it is printed, with its interval if it has one."""
    text = f"{name:<19} {scores.values[name]:.4f}"
    if name not in scores.intervals:
        return f"{text}   (without interval)"
    return f"{text}   (95 % interval {scores.intervals[name].low:.4f} to {scores.intervals[name].high:.4f})"


@click.command("run-all")
@runner_options
@click.option("--fresh", is_flag=True, help="Run stages that are unchanged as well.")
@program_arguments
@click.pass_obj
def run_all_command(layout: Layout, options: RunnerOptions, fresh: bool, arguments: tuple[str, ...]) -> None:
    """Go from images to a report: import, train, infer, score.

    Images are imported if there are none. A stage whose input is unchanged since the last run is not run
    again. Options after -- go to training.

    Example: run-all -- --epochs 20
    """
    from challenge_bundle.engines.choice import choose_engine
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
        done = run_all(bundle, layout, engine, arguments, display, fresh)
    click.echo()
    show({"bundle": bundle.name, "runner": why, "predictions": layout.results_csv})
    if done.scores is None or done.report is None:
        show(
            {},
            f"predictions: {relative(layout.results_csv)}",
            "Only the organiser has the reference to score them with. Next: zip, check.",
        )
        return
    scores_txt = layout.scoring_output / "scores.txt"
    show(
        {
            "scores": done.scores.values,
            "intervals": done.scores.intervals,
            "scores_txt": scores_txt,
            "report": done.report,
        },
        *(_score_line(done.scores, name) for name in done.scores.headline),
        f"\nscores: {relative(scores_txt)}",
        f"report: {relative(done.report)}   (open it: {done.report.as_uri()})",
    )


@click.command()
@click.pass_obj
def report(layout: Layout) -> None:
    """Write the HTML report of your own model.

    It shows scores, confusion matrix, scores of each class, wrong cases, the data and the training.
    """
    from challenge_bundle.run_all import report_again

    bundle = read_bundle(layout)
    with working(layout):
        path = report_again(bundle, layout)
    show({"report": path}, f"report: {relative(path)}   (open it: {path.as_uri()})")


def _run(program: "Program", layout: Layout, options: RunnerOptions, arguments: Sequence[str]) -> bool:
    """Run a program and return True, or show its help and return False."""
    from challenge_bundle.dataset.consistency import check_together
    from challenge_bundle.engines.choice import choose_engine
    from challenge_bundle.runs.programs import help_text, run_program
    from challenge_bundle.wheelhouse import give_wheels

    if {"-h", "--help"} & set(arguments):
        text = help_text(program, layout)
        show({"help": text}, text.rstrip())
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
    show({"runner": why, "seconds": seconds})
    return True
