"""bundle.toml, what this challenge is, as a typed value."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from challenge_bundle.errors import ManifestError
from challenge_bundle.formats.image_name import canonical_image
from challenge_bundle.formats.requirements import parse_requirement
from challenge_bundle.formats.toml_table import TomlTable

PROGRAM_NAMES = ("training", "inference", "scoring")

METRICS = (
    "weighted_f1",
    "weighted_precision",
    "weighted_recall",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "accuracy",
)
"""What a board can rank by: whatever counts of the confusion matrix tell, so that cases can be resampled."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run of a program may use.

    Args:
        time_s: Wall time, seconds.
        memory_mb: Memory, with swap, 2**20 bytes.
        cpus: Processors.
        pids: Processes and threads.
        output_mb: Of all promised files together, 2**20 bytes.
    """

    time_s: int
    memory_mb: int
    cpus: float
    pids: int
    output_mb: int


DEFAULT_LIMITS = {
    "training": Limits(time_s=6 * 3600, memory_mb=8192, cpus=4.0, pids=512, output_mb=2048),
    "inference": Limits(time_s=1800, memory_mb=4096, cpus=2.0, pids=128, output_mb=64),
    "scoring": Limits(time_s=600, memory_mb=2048, cpus=2.0, pids=128, output_mb=64),
}


@dataclass(frozen=True, slots=True)
class DataSettings:
    """How `run-all` fills an empty input_data/.

    Args:
        source: What `data import` takes.
        sample_size: Images of each class in each split; 0 takes all.
        seed: Of sampling, splitting and making images.
        image_size: (width, height) in pixels that every image must have; None asks only for equal sizes.
        any_size: Whether images may differ in size.
        split: Shares of training, validation and testing, where the source is not split.
        allow_leaks: Whether testing images, or patients of theirs, may lie in the training split too.
        group: What stays in one split, such as a patient's images; see formats.groups.
        anonymous: Whether a server is asked without credentials.
        strip_metadata: Whether images lose all that stands beside their pixels.
    """

    source: str = "synthetic"
    sample_size: int = 0
    seed: int = 0
    image_size: tuple[int, int] | None = None
    any_size: bool = False
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    allow_leaks: bool = False
    group: str = ""
    anonymous: bool = False
    strip_metadata: bool = False


@dataclass(frozen=True, slots=True)
class SubmissionSettings:
    """What a submission zip may be.

    Args:
        zip_mb: Largest zip, 2**20 bytes.
        unpacked_mb: Largest sum of its files, 2**20 bytes.
        files: Most files in it.
    """

    zip_mb: int = 1024
    unpacked_mb: int = 4096
    files: int = 2000


@dataclass(frozen=True, slots=True)
class Phase:
    """A time in which submissions are taken.

    Args:
        name: As it stands on the board.
        opens: First moment, UTC; None is always.
        closes: First moment after it, UTC; None is never.
        part: Which test cases its board shows: `all`, `public` or `final`.
        submissions_per_day: Of a team, by UTC days; 0 is any number.
    """

    name: str = "open"
    opens: datetime | None = None
    closes: datetime | None = None
    part: str = "all"
    submissions_per_day: int = 0

    def is_open(self, moment: datetime) -> bool:
        """Tell whether it was open at a moment."""
        return (self.opens is None or self.opens <= moment) and (self.closes is None or moment < self.closes)


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How strangers' submissions are evaluated and ranked.

    Args:
        metric: What the board ranks by.
        take: Which of a team's submissions stands on the board: its `best` or its `last`.
        public_share: Of the test cases, for the board of a running phase; 1 has no hidden part.
        resamples: Of the cases, for the intervals on the board.
        show_failed: Whether the public board names submissions without a score, with the reason.
        show_agreement: Whether the public board names entries that agree more than chance allows.
        attempts: How often a submission is tried when something here is missing.
        build_network: Whether a submission's build gets a network.
        build_time_s: Of one build, seconds.
        build_memory_mb: Of one step of a build, 2**20 bytes.
        image_mb: Largest image, 2**20 bytes.
        base_images: What submissions may build on; empty takes all on the engine but images of this tool.
        pull: Whether the engine may fetch those of base_images that it lacks.
        packages: Whose wheels submissions get besides those of the bundle's own inference program.
        phases: In order of their opening; never empty.
    """

    metric: str = "weighted_f1"
    take: str = "best"
    public_share: float = 1.0
    resamples: int = 10_000
    show_failed: bool = False
    show_agreement: bool = False
    attempts: int = 3
    build_network: bool = False
    build_time_s: int = 1800
    build_memory_mb: int = 4096
    image_mb: int = 8192
    base_images: tuple[str, ...] = ()
    pull: bool = False
    packages: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = (Phase(),)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A challenge bundle's manifest.

    Args:
        name: Short name: small letters, digits and dashes; images are named after it.
        title: What a page is headed with.
        task: `classification`.
        class_names: The classes the images must have; empty takes those of the images.
        data: How input_data/ is filled.
        arguments: Options of each program, by program name.
        limits: What each program may use, by program name.
        submission: What a submission zip may be.
        base_image: What the programs' images are built on; empty takes each Dockerfile's own.
        evaluation: How submissions are evaluated and ranked.
    """

    name: str
    title: str
    task: str = "classification"
    class_names: tuple[str, ...] = ()
    data: DataSettings = field(default_factory=DataSettings)
    arguments: dict[str, tuple[str, ...]] = field(default_factory=dict)
    limits: dict[str, Limits] = field(default_factory=lambda: dict(DEFAULT_LIMITS))
    submission: SubmissionSettings = field(default_factory=SubmissionSettings)
    base_image: str = ""
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)


def read_manifest(path: Path) -> Bundle:
    """Read a bundle.toml.

    Raises:
        ManifestError: Not there, not TOML, an unknown key, or a value of a wrong type or range.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ManifestError(
            "not found",
            path,
            code="manifest-missing",
            hint="name the bundle's folder by --bundle, or make one: `bundle new .` in an empty folder",
        ) from None
    except UnicodeDecodeError:
        raise ManifestError(f"{path}: not UTF-8; save it as UTF-8") from None
    return parse_manifest(text, path)


def parse_manifest(text: str, path: Path) -> Bundle:
    """Parse the text of a bundle.toml; see read_manifest."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ManifestError(f"{path}: not valid TOML: {fault}") from None
    root = TomlTable(document, (), text, path)
    bundle = root.table("bundle")
    data = root.table("data")
    submission = root.table("submission")
    evaluation = root.table("evaluation")
    programs = {name: root.table(name) for name in PROGRAM_NAMES}
    manifest = Bundle(
        name=bundle.text("name", pattern=r"[a-z0-9][a-z0-9-]{0,62}"),
        title=bundle.text("title", default=bundle.text("name", pattern=r".+")),
        task=bundle.choice("task", ("classification",)),
        class_names=bundle.texts("class_names"),
        base_image=bundle.text("base_image", default="", pattern=r"[\w./:@-]+"),
        data=DataSettings(
            source=data.text("source", default="synthetic"),
            sample_size=int(data.number("sample_size", 0, low=0, high=10**9)),
            seed=int(data.number("seed", 0, low=0, high=2**32 - 1)),
            image_size=data.image_size("image_size"),
            any_size=data.flag("any_size"),
            split=data.split("split", DataSettings().split),
            allow_leaks=data.flag("allow_leaks"),
            group=data.text("group", default=""),
            anonymous=data.flag("anonymous"),
            strip_metadata=data.flag("strip_metadata"),
        ),
        arguments={name: table.texts("arguments") for name, table in programs.items()},
        limits={name: _limits(table, DEFAULT_LIMITS[name]) for name, table in programs.items()},
        submission=SubmissionSettings(
            zip_mb=int(submission.number("zip_mb", 1024, low=1, high=10**6)),
            unpacked_mb=int(submission.number("unpacked_mb", 4096, low=1, high=10**6)),
            files=int(submission.number("files", 2000, low=1, high=10**6)),
        ),
        evaluation=_evaluation(evaluation, root.tables("phases")),
    )
    for table in (root, bundle, data, submission, evaluation, *programs.values()):
        table.refuse_unknown()
    return manifest


def _evaluation(table: TomlTable, phases: Sequence[TomlTable]) -> EvaluationSettings:
    default = EvaluationSettings()
    share = float(table.number("public_share", 1.0, low=0.01, high=1.0, whole=False))
    parts = ("public", "final") if share < 1.0 else ("all",)
    base_images, pull = _base_images(table)
    return EvaluationSettings(
        metric=table.choice("metric", METRICS),
        take=table.choice("take", ("best", "last")),
        public_share=share,
        resamples=int(table.number("resamples", default.resamples, low=100, high=10**6)),
        show_failed=table.flag("show_failed"),
        show_agreement=table.flag("show_agreement"),
        attempts=int(table.number("attempts", default.attempts, low=1, high=100)),
        build_network=table.flag("build_network"),
        build_time_s=int(table.number("build_time_s", default.build_time_s, low=1, high=10**6)),
        build_memory_mb=int(table.number("build_memory_mb", default.build_memory_mb, low=64, high=10**7)),
        image_mb=int(table.number("image_mb", default.image_mb, low=1, high=10**7)),
        base_images=base_images,
        pull=pull,
        packages=_packages(table),
        phases=_phases(phases, parts),
    )


def _base_images(table: TomlTable) -> tuple[tuple[str, ...], bool]:
    """What submissions may build on, and whether it may be fetched."""
    names = table.texts("base_images")
    for name in names:
        if canonical_image(name) is None:
            raise table.fault("base_images", f"has {name!r}; write image names, such as 'python:3.11-slim'")
    pull = table.flag("pull")
    if pull and not names:
        raise table.fault("pull", "is true, but 'evaluation.base_images' is empty; list what may be fetched")
    return names, pull


def _packages(table: TomlTable) -> tuple[str, ...]:
    packages = table.texts("packages")
    for text in packages:
        if parse_requirement(text) is None:
            raise table.fault("packages", f"has {text!r}; write package names, such as 'scipy==1.17.1'")
    return packages


def _phases(tables: Sequence[TomlTable], parts: tuple[str, ...]) -> tuple[Phase, ...]:
    phases: list[Phase] = []
    for table in tables:
        phase = Phase(
            name=table.text("name", pattern=r"[\w .-]{1,40}"),
            opens=table.moment("opens"),
            closes=table.moment("closes"),
            part=table.choice("part", parts),
            submissions_per_day=int(table.number("submissions_per_day", 0, low=0, high=10**6)),
        )
        table.refuse_unknown()
        if phase.opens and phase.closes and phase.closes <= phase.opens:
            raise table.fault("closes", "is not after 'opens'; a phase opens before it closes")
        if any(phase.name == other.name for other in phases):
            raise table.fault("name", f"is {phase.name!r}, as of another phase; give each its own")
        phases.append(phase)
    return tuple(phases) or (Phase(part=parts[0]),)


def _limits(table: TomlTable, default: Limits) -> Limits:
    return Limits(
        time_s=int(table.number("time_s", default.time_s, low=1, high=10**7)),
        memory_mb=int(table.number("memory_mb", default.memory_mb, low=16, high=10**7)),
        cpus=float(table.number("cpus", default.cpus, low=0.1, high=4096, whole=False)),
        pids=int(table.number("pids", default.pids, low=4, high=10**6)),
        output_mb=int(table.number("output_mb", default.output_mb, low=1, high=10**6)),
    )
