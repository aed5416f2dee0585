"""The three programs as data, and the one function that runs any of them."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.bounded_log import BoundedLog
from challenge_bundle.engines.base import BuildSpec, Engine, OnLine, RunSpec
from challenge_bundle.engines.build_context import context_files
from challenge_bundle.errors import DataError, shown
from challenge_bundle.files import check_writable, plain_files, remove_tree, signature
from challenge_bundle.formats.program_toml import CURVES, Written, read_program_toml
from challenge_bundle.layout import RESULTS_NAME, SCORE_NAMES, Layout
from challenge_bundle.runs.collect import collect_output
from challenge_bundle.runs.curves import visible_curves
from challenge_bundle.runs.outcome import check_outcome
from challenge_bundle.runs.stage_record import StageBook, forget_results
from challenge_bundle.runs.task import update_task
from challenge_bundle.settings import Bundle, Limits

SHOWN_NAMES = 5


@dataclass(frozen=True, slots=True)
class Program:
    """A program as the tool knows it; all else about it is in its folder.

    Args:
        name: As in bundle.toml.
        folder: Where it lies.
        script: What Python runs.
        context_is_root: Whether its image is built from the bundle's root, not from its folder.
        reads: What must be there before it runs, and what to do if it is not.
        input_dir: What it gets to read.
        output_dir: Where its files go.
        files: What it must write, if its folder's program.toml does not list others.
        is_own: Whether that file is read, and whatever else it writes is kept: it is a participant's own.
        resumes: Whether it can continue from what an interrupted run left.
        arguments: Options that this tool gives it; those of the manifest and of the person follow.
        besides: What it may write besides `files`, and that is kept.
    """

    name: str
    folder: str
    script: str
    context_is_root: bool
    reads: Callable[[Layout], dict[Path, str]]
    input_dir: Callable[[Layout], Path]
    output_dir: Callable[[Layout], Path]
    files: tuple[str, ...]
    is_own: bool = False
    resumes: bool = False
    arguments: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()


TRAINING = Program(
    name="training",
    folder="bundle_training",
    script="train.py",
    context_is_root=False,
    reads=lambda layout: {
        path: "run `data import` or `run-all` first"
        for split in ("training", "validation")
        for path in (layout.solution_csv(split), layout.split_dir(split))
    },
    input_dir=lambda layout: layout.input_data,
    output_dir=lambda layout: layout.model_output,
    files=("best_metric_model.onnx", "model.json"),
    is_own=True,
    resumes=True,
)

INFERENCE = Program(
    name="inference",
    folder="bundle_inference",
    script="infer.py",
    context_is_root=True,
    reads=lambda layout: {
        layout.testing_data: "run `data import` or `run-all` first",
        **dict.fromkeys(output_files(TRAINING, layout), "run `train` first"),
    },
    input_dir=lambda layout: layout.testing_data,
    output_dir=lambda layout: layout.results_dir,
    files=(RESULTS_NAME,),
)

SCORING = Program(
    name="scoring",
    folder="scoring_program",
    script="score.py",
    context_is_root=False,
    reads=lambda layout: {
        layout.solution_csv(
            "testing"
        ): "only the organiser has it and can score; participants run `check` on the csv",
        layout.submitted_csv: "run `infer` first, or put a csv there",
    },
    input_dir=lambda layout: layout.scoring_input,
    output_dir=lambda layout: layout.scoring_output,
    files=("scores.json",),
    # For one's own eyes; where a participant sees the scores, they are made without it.
    arguments=("--show-cases",),
    besides=tuple(name for name in SCORE_NAMES if name != "scores.json"),
)

PROGRAMS = {program.name: program for program in (TRAINING, INFERENCE, SCORING)}


def run_program(
    program: Program,
    bundle: Bundle,
    layout: Layout,
    engine: Engine,
    arguments: Sequence[str],
    on_line: OnLine,
) -> float:
    """Run a program; its files appear in its output folder only when it has ended well, curves before.

    Args:
        program: Which.
        bundle: Gives its options and limits.
        layout: Gives its folders.
        engine: Runs it.
        arguments: Options after those of the bundle.
        on_line: Gets each line that it prints.

    Returns:
        Seconds it took.

    Raises:
        DataError: What it reads is not there.
        ProgramError: It failed, overran a limit or left out a file.
        UnavailableError: The engine lacks something.
    """
    if program is SCORING:
        # First of all: if what it reads is not there, then what it wrote is of something else.
        forget_results(layout, predictions=False)
    check_inputs(program, layout)
    update_task(bundle, layout)
    # Now, not after hours: and what it promised when it began counts.
    written = written_by(program, layout)
    work_dir, output_dir = layout.work_dir(program.name), program.output_dir(layout)
    check_writable(output_dir)
    if not program.resumes:
        # With an error if anything is left: an output that the last program left must not become this one's.
        remove_tree(work_dir)
        # What an earlier run wrote must not pass for this one's when this one fails.
        for path in output_files(program, layout):
            path.unlink(missing_ok=True)
        forget_results(layout, predictions=False)
    work_dir.mkdir(parents=True, exist_ok=True)
    limits = bundle.limits[program.name]
    # Before the run: what changes meanwhile did not make what it wrote.
    key = stage_key(program, bundle, layout, engine, arguments)
    spec = plan_run(program, bundle, layout, arguments)
    curves = visible_curves(work_dir / CURVES, output_dir / CURVES, limits.output_mb * 2**20)
    with BoundedLog(layout.log(program.name)) as log, curves if program.is_own else contextlib.nullcontext():

        def show(line: str) -> None:
            log.line(line)
            on_line(line)

        engine.stop(spec.owner)
        image = build_image(engine, program, bundle, layout, show)
        outcome = engine.run(dataclasses.replace(spec, image=image), show)
    check_outcome(program, outcome, limits)
    if program is TRAINING:
        # Of the model that is replaced now.
        forget_results(layout, predictions=True)
    kept = take_output(program, written, layout, limits, on_line)
    made = [output_dir / name for name in written.outputs]
    StageBook(layout).record(program.name, key, made, arguments, kept)
    remove_tree(work_dir)
    return outcome.seconds


def take_output(
    program: Program, written: Written, layout: Layout, limits: Limits, on_line: OnLine
) -> list[Path]:
    """Bring what a program wrote to its output folder; gives what it wrote besides what it promised.

    Raises:
        ProgramError: A promised file is missing, is no plain file or too large.
    """
    work_dir, output_dir = layout.work_dir(program.name), program.output_dir(layout)
    besides = besides_promised(work_dir, written) if program.is_own else list(program.besides)
    limit_bytes = limits.output_mb * 2**20
    left_out = collect_output(work_dir, output_dir, written.outputs, besides, limit_bytes, program.name)
    if left_out:
        on_line(describe_left_out(program, left_out, limits))
    return [output_dir / name for name in besides if name not in left_out and (output_dir / name).exists()]


def written_by(program: Program, layout: Layout) -> Written:
    """What a program promises to write: what its program.toml lists, else what the tool knows of it.

    Raises:
        ManifestError: The folder's program.toml is at fault.
    """
    if not program.is_own:
        return Written(program.files)
    return read_program_toml(layout.program_dir(program.folder), program.files)


def besides_promised(work_dir: Path, written: Written) -> list[str]:
    """What a program wrote besides what it promised, without the curves and what is temporary."""
    return [
        name
        for name in plain_files(work_dir)
        if name.split("/")[0] != CURVES and name not in written.outputs and not written.is_temporary(name)
    ]


def describe_left_out(program: Program, names: Sequence[str], limits: Limits) -> str:
    """One line on files that a program wrote besides what it promised, and that were not kept."""
    some = ", ".join(map(shown, names[:SHOWN_NAMES])) + ", ..." * (len(names) > SHOWN_NAMES)
    return (
        f"warning: not kept, being more than {limits.output_mb} MB with the others or unreadable: {some};"
        f" write less, or raise 'output_mb' under [{program.name}] in bundle.toml"
    )


def help_text(program: Program, layout: Layout) -> str:
    """A program's own --help."""
    script = layout.program_dir(program.folder) / program.script
    width = {"COLUMNS": str(shutil.get_terminal_size().columns)}
    done = subprocess.run(
        [sys.executable, "-B", str(script), "--help"],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | width,
    )
    return done.stdout


def is_current(
    program: Program, bundle: Bundle, layout: Layout, engine: Engine, arguments: Sequence[str]
) -> bool:
    """Whether a run would only repeat the last: same code, input and options, its files there.

    Without options, a result that was made with some is current as well: who trained another network for
    hours does not want it replaced by the default.
    """
    update_task(bundle, layout)
    book = StageBook(layout)
    arguments = arguments or book.arguments(program.name)
    key = stage_key(program, bundle, layout, engine, arguments)
    return book.is_current(program.name, key, output_files(program, layout))


def plan_run(program: Program, bundle: Bundle, layout: Layout, arguments: Sequence[str]) -> RunSpec:
    """What is to be run, without running it; its image is not named yet."""
    return RunSpec(
        name=program.name,
        input_dir=program.input_dir(layout),
        output_dir=layout.work_dir(program.name),
        arguments=(*program.arguments, *bundle.arguments[program.name], *arguments),
        limits=bundle.limits[program.name],
        script=layout.program_dir(program.folder) / program.script,
        model_dir=layout.model_output if program is INFERENCE else None,
        prefix=bundle.name,
        owner=owner_of(layout),
        names_folders=program is SCORING,
        wants_gpu=program is TRAINING,
    )


def plan_build(program: Program, bundle: Bundle, layout: Layout, gives_gpu: bool) -> BuildSpec:
    """What a program's image is built from, without building it.

    Args:
        program: Which.
        bundle: Gives its base image.
        layout: Gives its folders.
        gives_gpu: Whether the engine gives programs a GPU: torch's build depends on it.

    Raises:
        DataError: The Dockerfile or a file that it copies is not there.
    """
    program_dir = layout.program_dir(program.folder)
    context = layout.root if program.context_is_root else program_dir
    return BuildSpec(
        name=f"{bundle.name}-{program.name}",
        folder=program_dir.name,
        files=context_files(program_dir / "Dockerfile", context, program_dir),
        base_image=bundle.base_image,
        torch_backend="" if gives_gpu else "cpu",
        program=program.name,
        owner=owner_of(layout),
    )


def build_image(engine: Engine, program: Program, bundle: Bundle, layout: Layout, on_line: OnLine) -> str:
    """Build a program's image, unless it is there.

    Returns:
        Its full name; empty for an engine that builds none.

    Raises:
        ProgramError: The build failed.
        DataError: The Dockerfile, a file that it copies or the program's wheels are not there.
        UnavailableError: The engine went away.
    """
    if not engine.builds_images:
        return ""
    spec = plan_build(program, bundle, layout, engine.capacity.gives_gpu)
    engine.build(spec, on_line)
    return spec.image


def owner_of(layout: Layout) -> str:
    """The name of a bundle on an engine: what bears it there is this bundle's."""
    return hashlib.sha256(str(layout.root).encode()).hexdigest()[:16]


def check_inputs(program: Program, layout: Layout) -> None:
    """Refuse to run a program whose input is not there.

    Raises:
        DataError: Names the first thing missing and what to do.
    """
    for path, hint in program.reads(layout).items():
        if not path.exists():
            raise DataError(f"not found; {program.name} reads it", path, code="input-missing", hint=hint)
    submitted = sorted(path.name for path in layout.results_dir.glob("*.csv"))
    if program is SCORING and len(submitted) > 1:
        names = ", ".join(map(shown, submitted[:3]))
        raise DataError(
            f"expected one csv file, but got {len(submitted)}: {names}",
            layout.results_dir,
            code="several-csv-files",
            hint="keep the one to be scored",
        )


def may_be_of_other_data(layout: Layout) -> bool:
    """Whether the images are newer than the model: it may be tested on images it was trained on."""
    imported = layout.import_json
    return imported.exists() and any(
        path.exists() and path.stat().st_mtime < imported.stat().st_mtime
        for path in output_files(TRAINING, layout)
    )


def output_files(program: Program, layout: Layout) -> list[Path]:
    """The files that a program must have written."""
    return [program.output_dir(layout) / name for name in written_by(program, layout).outputs]


def stage_key(
    program: Program, bundle: Bundle, layout: Layout, engine: Engine, arguments: Sequence[str]
) -> str:
    """SHA-256 over all that decides a program's result: its code, its input, its options and its runner."""
    read = [layout.program_dir(program.folder), *program.reads(layout)]
    asked = {TRAINING.name: layout.task_json, SCORING.name: layout.reference_task_json}.get(program.name)
    if asked and asked.is_file():
        read.append(asked)
    if program is INFERENCE and layout.model_output.is_dir():
        # It may read what training wrote besides what it promised, too.
        read += sorted(path for path in layout.model_output.iterdir() if path.name != CURVES)
    content = json.dumps(
        [
            engine.name,
            bundle.base_image,
            signature(read),
            [*program.arguments, *bundle.arguments[program.name], *arguments],
        ]
    )
    return hashlib.sha256(content.encode()).hexdigest()
