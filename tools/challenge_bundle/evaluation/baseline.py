"""Before the first submission: can the bundle's own be built, the way submissions are?"""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from challenge_bundle.bounded_log import BoundedLog
from challenge_bundle.engines.base import Engine
from challenge_bundle.engines.build_context import context_files, read_dockerfile
from challenge_bundle.engines.choice import FETCH_HINT
from challenge_bundle.errors import DataError, ProgramError, UnavailableError
from challenge_bundle.evaluation.building import build_files
from challenge_bundle.evaluation.context import Context
from challenge_bundle.evaluation.verdicts import Inconclusive, Refusal
from challenge_bundle.formats.build_recipe import read_recipe
from challenge_bundle.formats.path_patterns import has_wildcards
from challenge_bundle.layout import Layout
from challenge_bundle.runs.programs import INFERENCE, SCORING, build_image

_HINTS: Mapping[str, str] = {
    "base-image": "let 'evaluation.base_images' in bundle.toml list {base}, or name another base image there",
    "no-base-image": FETCH_HINT,
    "build-time": "raise 'evaluation.build_time_s' in bundle.toml",
    "build-size": "raise 'evaluation.image_mb' in bundle.toml",
    "build-failed": "fill the wheels: `wheelhouse --program inference`; or set 'evaluation.build_network'",
}
_PLACEHOLDER = "nothing"
_OTHER_HINT = "correct {folder}/Dockerfile"


def check_ready(context: Context, engine: Engine, notify: Callable[[str], None], builds: bool = True) -> None:
    """Find out whether what all submissions need is here, before one of them is taken in.

    Args:
        context: Gives the rules.
        engine: Speaks to the engine.
        notify: See check_baseline.
        builds: Whether any of them is to be built.

    Raises:
        UnavailableError: It is not.
    """
    if builds:
        check_baseline(context, engine, notify)
    try:
        build_image(engine, SCORING, context.bundle, context.layout, lambda line: None)
    except ProgramError as fault:
        raise UnavailableError(str(fault), details=fault.details, code=fault.code) from None


def check_baseline(context: Context, engine: Engine, notify: Callable[[str], None]) -> None:
    """Build the bundle's own inference submission under the challenge's rules, unless that was done.

    What fails for it fails for every submission, and is not a participant's fault.

    Args:
        context: Gives the rules.
        engine: Speaks to the engine.
        notify: Called with a line when the build begins.

    Raises:
        UnavailableError: It cannot be built.
    """
    folder = context.layout.program_dir(INFERENCE.folder)
    if not (folder / "Dockerfile").is_file():
        return
    notify("building this bundle's own submission first, the way submissions are built")
    path = context.layout.log("baseline")
    with TemporaryDirectory(prefix="baseline-") as scratch, BoundedLog(path) as log:
        files = baseline_files(context.layout, Path(scratch))
        try:
            facts = build_files(context, engine, files, f"{context.bundle.name}-baseline", log)
        except Refusal as refusal:
            cause = refusal
        except Inconclusive as doubt:
            cause = doubt.refusal
        else:
            engine.forget_older(str(facts["tag"]))
            return
    verdict = cause.verdict
    base = context.bundle.base_image or _base_of(folder / "Dockerfile")
    hint = _HINTS.get(verdict.code, _OTHER_HINT).format(base=base, folder=folder)
    raise UnavailableError(
        "this bundle's own submission cannot be built the way submissions are, and nothing was evaluated:"
        f" {verdict.finding.message} (the build's output is in {path})",
        details=verdict.lines,
        code="baseline-not-built",
        hint=hint,
    )


def baseline_files(layout: Layout, scratch: Path) -> dict[str, Path]:
    """The files of the bundle's own submission; where it has no model yet, empty files stand for it.

    Args:
        layout: Of the bundle.
        scratch: An empty folder, which is to be there while the files are used.
    """
    folder = layout.program_dir(INFERENCE.folder)
    dockerfile = folder / "Dockerfile"
    try:
        return context_files(dockerfile, layout.root, folder)
    except DataError:
        pass
    recipe = read_recipe(read_dockerfile(dockerfile), {})
    for name in (source.lstrip("/") for copied in recipe.copies for source in copied.sources):
        if name.partition("/")[0] == folder.name or has_wildcards(name):
            continue
        # What has no suffix is a folder, to all appearances; to COPY, an empty one is not there.
        is_folder = name.endswith("/") or not Path(name).suffix
        path = scratch / name / _PLACEHOLDER if is_folder else scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return context_files(dockerfile, scratch, folder)


def _base_of(dockerfile: Path) -> str:
    bases = read_recipe(read_dockerfile(dockerfile), {}).bases
    return bases[0].name if bases else "the base image"
