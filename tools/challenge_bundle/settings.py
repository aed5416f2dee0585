"""bundle.toml as a typed value: each setting is declared once, for options, requests and docs too."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from challenge_bundle.data_settings import DataSettings
from challenge_bundle.errors import ManifestError
from challenge_bundle.formats.setting import REQUIRED, Texts, read_settings, setting, settings_of
from challenge_bundle.formats.tasks import (
    CLASSIFICATION,
    ORDINAL,
    TASKS,
    fault_of_classes,
    parse_metric_option,
)
from challenge_bundle.formats.toml_table import TomlTable, refuse_unknown

PROGRAM_NAMES = ("training", "inference", "scoring")

CODE, PREDICTIONS = "code", "predictions"
KINDS = (CODE, PREDICTIONS)
"""What a submission can be: a program that is built and run, or the predictions alone."""

ALL, PUBLIC, FINAL = "all", "public", "final"
"""Test cases that a board shows: all of them, those of the public split, those of the private split."""

_MOST_MB = 10**7
"""Of memory and images, 2**20 bytes: ten terabytes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run of a program may use; each program has defaults of its own."""

    time_s: int = setting("Wall time of a run, in seconds.", low=1, high=10**7, example=1800)
    memory_mb: int = setting("Memory of a run, swap included, in MiB.", low=16, high=_MOST_MB, example=4096)
    cpus: float = setting("Processors of a run.", low=0.1, high=4096, example=2)
    pids: int = setting("Processes and threads of a run.", low=4, high=10**6, example=128)
    output_mb: int = setting(
        "Size of all promised output files together, in MiB.", low=1, high=10**6, example=64
    )


DEFAULT_LIMITS = {
    "training": Limits(time_s=6 * 3600, memory_mb=8192, cpus=4.0, pids=512, output_mb=2048),
    "inference": Limits(time_s=1800, memory_mb=4096, cpus=2.0, pids=128, output_mb=64),
    "scoring": Limits(time_s=600, memory_mb=2048, cpus=2.0, pids=128, output_mb=64),
}


@dataclass(frozen=True, slots=True)
class ProgramSettings:
    """How one of the three programs is run, besides its limits."""

    arguments: Texts = setting("Options of the program.", (), example=["--epochs", "20"])


@dataclass(frozen=True, slots=True)
class SubmissionSettings:
    """What a submission zip may be."""

    zip_mb: int = setting("Size of the zip, in MiB.", 1024, low=1, high=10**6, example=512)
    unpacked_mb: int = setting(
        "Size of all files in the zip together, in MiB.", 4096, low=1, high=10**6, example=1024
    )
    files: int = setting("Number of files in the zip.", 2000, low=1, high=10**6, example=500)
    kinds: Texts = setting(
        "What may be submitted: a program (code), its predictions alone, or both.",
        (CODE,),
        choices=KINDS,
        example=[CODE, PREDICTIONS],
    )


@dataclass(frozen=True, slots=True)
class Phase:
    """A time in which submissions are accepted."""

    name: str = setting(
        "Name of the phase, as the board shows it.",
        "open",
        pattern=r"[\w .-]{1,40}",
        expected="1 to 40 letters, digits, blanks, dots and dashes",
        default_words="required",
        example="development",
    )
    opens: datetime | None = setting(
        "First moment at which submissions are accepted; UTC unless an offset is given.",
        None,
        default_words="always open",
        example=datetime(2027, 1, 1, tzinfo=UTC),
    )
    closes: datetime | None = setting(
        "First moment at which submissions are no longer accepted.",
        None,
        default_words="never closes",
        example=datetime(2027, 3, 1, tzinfo=UTC),
    )
    part: str = setting(
        "Test cases that the phase's board shows: all, those of the public split, or those of the private"
        " split (final).",
        ALL,
        choices=(ALL, PUBLIC, FINAL),
        default_words="all; public where evaluation.public_share is below 1",
        example=PUBLIC,
    )
    submissions_per_day: int = setting(
        "Submissions accepted of a team on one day (UTC); 0 is any number.",
        0,
        low=0,
        high=10**6,
        example=5,
    )
    kinds: Texts = setting(
        "What may be submitted in the phase, where that is not the same in all.",
        (),
        choices=KINDS,
        default_words="submission.kinds",
        example=[PREDICTIONS],
    )

    def is_open(self, moment: datetime) -> bool:
        """Whether the phase is open at a moment."""
        return (self.opens is None or self.opens <= moment) and (self.closes is None or moment < self.closes)


METRIC_PATTERN = r"[A-Za-z0-9_][\w.@+-]{0,79}"
"""A score's name in scores.json."""


def _is_metric(name: str) -> bool:
    import re

    return re.fullmatch(METRIC_PATTERN, name) is not None


def _is_image(name: str) -> bool:
    from challenge_bundle.formats.container_image_name import canonical_image

    return canonical_image(name) is not None


def _is_requirement(text: str) -> bool:
    from challenge_bundle.formats.requirements import parse_requirement

    return parse_requirement(text) is not None


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How participants' submissions are evaluated and ranked."""

    metric: str = setting(
        "Score that the board ranks by: any that the scoring program writes.",
        "",
        pattern=f"({METRIC_PATTERN})?",
        expected="the name of a score in scores.json",
        default_words="the scoring program's own",
        example="accuracy",
        in_kit=True,
    )
    metrics: Texts = setting(
        "Further scores, each with a board of its own.",
        (),
        check=_is_metric,
        expected="names of scores in scores.json",
        default_words="none",
        example=["macro_f1"],
        in_kit=True,
    )
    metric_options: Texts = setting(
        "Settings of the metrics, such as the probability from which on a label counts as present.",
        (),
        check=lambda text: parse_metric_option(text) is not None,
        expected="texts NAME=NUMBER",
        default_words="the scoring program's own",
        example=["threshold=0.4"],
        in_kit=True,
    )
    take: str = setting(
        "Which submission of a team stands on the board: its best or its last.",
        "best",
        choices=("best", "last"),
        example="last",
        in_kit=True,
    )
    public_share: float = setting(
        "Share of the test cases in the public split, which the board of a running phase shows; 1 has no"
        " private split.",
        1.0,
        low=0.01,
        high=1.0,
        example=0.3,
        in_kit=True,
    )
    resamples: int = setting(
        "Resamples of the test cases, for the board's intervals.", 10_000, low=100, high=10**6, example=2000
    )
    show_failed: bool = setting(
        "Show submissions without a score, with the reason, on the public board.", False, example=True
    )
    show_agreement: bool = setting(
        "Show entries that agree more than chance allows on the public board.", False, example=True
    )
    attempts: int = setting(
        "How often a submission is tried when this machine lacks something.", 3, low=1, high=100, example=5
    )
    build_network: bool = setting(
        "Give the build of a submission's image network access.", False, example=True, in_kit=True
    )
    build_time_s: int = setting(
        "Wall time of a submission's build, in seconds.", 1800, low=1, high=10**6, example=900, in_kit=True
    )
    build_memory_mb: int = setting(
        "Memory of one step of a submission's build, in MiB.",
        4096,
        low=64,
        high=_MOST_MB,
        example=2048,
        in_kit=True,
    )
    image_mb: int = setting(
        "Size of a submission's image, in MiB.", 8192, low=1, high=_MOST_MB, example=4096, in_kit=True
    )
    base_images: Texts = setting(
        "Images that submissions may build on.",
        (),
        check=_is_image,
        expected="image names",
        default_words="all on the engine, except this tool's own",
        example=["python:3.11-slim"],
        in_kit=True,
    )
    pull: bool = setting("Let the engine fetch those of base_images that it lacks.", False, example=True)
    packages: Texts = setting(
        "Packages whose wheels submissions may install besides those of the inference program.",
        (),
        check=_is_requirement,
        expected="package names, with or without a version",
        default_words="none",
        example=["scipy==1.17.1"],
    )
    phases: tuple[Phase, ...] = (Phase(),)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What the bundle is, and all its settings; arguments and limits are by program name."""

    name: str = setting(
        "Short name of the bundle; images are named after it.",
        pattern=r"[a-z0-9][a-z0-9-]{0,62}",
        expected="1 to 63 small letters, digits and dashes, not beginning with a dash",
        example="chest-x-rays",
    )
    title: str = setting(
        "Title of the report.",
        "",
        default_words="the name",
        example="Chest X-rays: which of them show pneumonia?",
    )
    task: str = setting(
        "What a submission predicts for an image: one class; any number of labels; one of ordered classes; or"
        " a number.",
        CLASSIFICATION,
        choices=TASKS,
        example=ORDINAL,
    )
    class_names: Texts = setting(
        "Classes, in order, that imported images must have; of the task multilabel its labels.",
        (),
        default_words="the images' own; the task ordinal needs them",
        example=["normal", "pneumonia"],
    )
    data: DataSettings = field(default_factory=DataSettings)
    arguments: dict[str, Texts] = field(default_factory=dict)
    limits: dict[str, Limits] = field(default_factory=lambda: dict(DEFAULT_LIMITS))
    submission: SubmissionSettings = field(default_factory=SubmissionSettings)
    base_image: str = setting(
        "Image that the programs' images are built on.",
        "",
        pattern=r"[\w./:@-]+",
        expected="the name of an image",
        default_words="that of each Dockerfile",
        example="python:3.11-slim",
    )
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)


TABLES: Mapping[str, tuple[type, ...]] = {
    "bundle": (Bundle,),
    "data": (DataSettings,),
    **dict.fromkeys(PROGRAM_NAMES, (ProgramSettings, Limits)),
    "submission": (SubmissionSettings,),
    "evaluation": (EvaluationSettings,),
    "phases": (Phase,),
}
"""The tables of bundle.toml, and the classes that declare their keys."""


def read_manifest(path: Path) -> Bundle:
    """Read a bundle.toml.

    Raises:
        ManifestError: Not there, not TOML, an unknown key, or a value of a wrong type or range.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ManifestError(
            "not found; a bundle is a folder with a bundle.toml",
            path,
            code="manifest-not-found",
            hint="name that folder with --bundle, or make one: `bundle new .` in an empty folder",
        ) from None
    except UnicodeDecodeError:
        raise ManifestError(
            "expected text in UTF-8", path, code="manifest-not-utf8", hint="save it as UTF-8"
        ) from None
    return parse_manifest(text, path)


def parse_manifest(text: str, path: Path) -> Bundle:
    """Parse the text of a bundle.toml; see read_manifest."""
    import tomllib

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ManifestError(
            f"not valid TOML: {fault}",
            path,
            code="manifest-not-toml",
            hint="correct the line that the message names",
        ) from None
    root = TomlTable(document, (), text, path)
    tables = {name: root.table(name) for name in TABLES if name != "phases"}
    phases = root.tables("phases")
    # Before anything is read: a value that seems to be missing may only be misspelt.
    _refuse_unknown(root, tables, phases)
    manifest = Bundle(
        **read_settings(Bundle, tables["bundle"]),
        data=DataSettings(**read_settings(DataSettings, tables["data"])),
        limits={
            name: Limits(**read_settings(Limits, tables[name], asdict(DEFAULT_LIMITS[name])))
            for name in PROGRAM_NAMES
        },
        arguments={
            name: ProgramSettings(**read_settings(ProgramSettings, tables[name])).arguments
            for name in PROGRAM_NAMES
        },
        submission=SubmissionSettings(**read_settings(SubmissionSettings, tables["submission"])),
        evaluation=_evaluation(tables["evaluation"], phases),
    )
    _refuse_contradictions(manifest, tables)
    return manifest if manifest.title else replace(manifest, title=manifest.name)


def _refuse_unknown(root: TomlTable, tables: Mapping[str, TomlTable], phases: Sequence[TomlTable]) -> None:
    for name, table in (*tables.items(), *(("phases", phase) for phase in phases)):
        for cls in TABLES[name]:
            table.asked.update(settings_of(cls))
    refuse_unknown(root, *tables.values(), *phases)


def _evaluation(table: TomlTable, phases: Sequence[TomlTable]) -> EvaluationSettings:
    read = EvaluationSettings(**read_settings(EvaluationSettings, table))
    parts = (ALL,) if read.public_share == 1 else (PUBLIC, FINAL)
    return replace(read, phases=_phases(phases, parts) or (Phase(part=parts[0]),))


def _phases(tables: Sequence[TomlTable], parts: tuple[str, ...]) -> tuple[Phase, ...]:
    phases: list[Phase] = []
    for table in tables:
        phase = Phase(**read_settings(Phase, table, {"name": REQUIRED, "part": parts[0]}))
        if phase.part not in parts:
            raise ManifestError(
                f"'phases.part': expected {' or '.join(parts)} but got {phase.part!r}, for"
                f" evaluation.public_share is {'1' if ALL in parts else 'below 1'}",
                *table.place("part"),
                code="setting-contradiction",
                hint="change one of the two",
            )
        if phase.opens and phase.closes and phase.closes <= phase.opens:
            raise ManifestError(
                "'phases.closes': expected a moment after 'phases.opens'",
                *table.place("closes"),
                code="setting-contradiction",
                hint="change one of the two",
            )
        if any(phase.name == other.name for other in phases):
            raise ManifestError(
                f"'phases.name': another phase is named {phase.name!r} too",
                *table.place("name"),
                code="setting-duplicate",
                hint="give each phase its own name",
            )
        phases.append(phase)
    return tuple(phases)


def _refuse_contradictions(manifest: Bundle, tables: Mapping[str, TomlTable]) -> None:
    """Refuse values that are valid alone, but not together."""
    names = manifest.class_names
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ManifestError(
            f"'bundle.class_names': {twice!r} appears twice",
            *tables["bundle"].place("class_names"),
            code="setting-duplicate",
            hint="name each class once",
        )
    message, hint = fault_of_classes(manifest.task, names)
    if message:
        raise ManifestError(
            f"'bundle.class_names': {message}",
            *tables["bundle"].place("class_names"),
            code="setting-contradiction",
            hint=hint,
        )
    if manifest.evaluation.pull and not manifest.evaluation.base_images:
        raise ManifestError(
            "'evaluation.pull' is true, but 'evaluation.base_images' is empty",
            *tables["evaluation"].place("pull"),
            code="setting-contradiction",
            hint="list the images that may be fetched in base_images",
        )
