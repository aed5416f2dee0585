"""bundle.toml, what this challenge is, as a typed value."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.errors import ManifestError

PROGRAM_NAMES = ("training", "inference", "scoring")


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
        split: Shares of training, validation and testing, where the source is not split.
    """

    source: str = "synthetic"
    sample_size: int = 0
    seed: int = 0
    image_size: tuple[int, int] | None = None
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)


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


def read_manifest(path: Path) -> Bundle:
    """Read a bundle.toml.

    Raises:
        ManifestError: Not there, not TOML, an unknown key, or a value of a wrong type or range.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ManifestError(
            f"{path}: not found; a bundle is a folder with a bundle.toml (see --bundle)"
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
    root = _Table(document, (), text, path)
    bundle = root.table("bundle")
    data = root.table("data")
    submission = root.table("submission")
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
            split=data.split("split"),
        ),
        arguments={name: table.texts("arguments") for name, table in programs.items()},
        limits={name: _limits(table, DEFAULT_LIMITS[name]) for name, table in programs.items()},
        submission=SubmissionSettings(
            zip_mb=int(submission.number("zip_mb", 1024, low=1, high=10**6)),
            unpacked_mb=int(submission.number("unpacked_mb", 4096, low=1, high=10**6)),
            files=int(submission.number("files", 2000, low=1, high=10**6)),
        ),
    )
    for table in (root, bundle, data, submission, *programs.values()):
        table.refuse_unknown()
    return manifest


def _limits(table: "_Table", default: Limits) -> Limits:
    return Limits(
        time_s=int(table.number("time_s", default.time_s, low=1, high=10**7)),
        memory_mb=int(table.number("memory_mb", default.memory_mb, low=16, high=10**7)),
        cpus=float(table.number("cpus", default.cpus, low=0.1, high=4096, whole=False)),
        pids=int(table.number("pids", default.pids, low=4, high=10**6)),
        output_mb=int(table.number("output_mb", default.output_mb, low=1, high=10**6)),
    )


class _Table:
    """One table of the document while it is read: knows which keys were asked for and where each stands."""

    def __init__(self, values: dict[str, Any], names: tuple[str, ...], text: str, path: Path) -> None:
        self.values, self.names, self.source, self.path = values, names, text, path
        self.asked: set[str] = set()

    def fault(self, key: str, message: str) -> ManifestError:
        """Make an error that names the key and its line."""
        name = ".".join((*self.names, key))
        line = _line_of(self.source, self.names, key)
        return ManifestError(
            f"{self.path}:{line}: '{name}' {message}" if line else f"{self.path}: '{name}' {message}"
        )

    def get(self, key: str) -> Any:
        """The raw value, or None; the key counts as known from here on."""
        self.asked.add(key)
        return self.values.get(key)

    def refuse_unknown(self) -> None:
        """Raise on the first key that nothing asked for."""
        for key in self.values.keys() - self.asked:
            raise self.fault(key, f"is not known here; expected {', '.join(sorted(self.asked))}")

    def table(self, key: str) -> "_Table":
        """A table below this one; empty if it is not there."""
        value = self.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.fault(key, f"must be a table; write it as [{key}]")
        return _Table(value or {}, (*self.names, key), self.source, self.path)

    def text(self, key: str, default: str | None = None, pattern: str = r"(?s).+") -> str:
        """A text that matches `pattern`."""
        value = self.get(key)
        if value is None and default is not None:
            return default
        if value is None:
            raise self.fault(key, "is missing; every bundle needs it")
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise self.fault(key, f"is {value!r}; expected a text that matches {pattern}")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """One of `choices`; the first by default."""
        value = self.get(key)
        if value is None:
            return choices[0]
        if value not in choices:
            raise self.fault(key, f"is {value!r}; expected {' or '.join(choices)}")
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of different, non-empty texts; empty by default."""
        value = self.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.fault(key, f"is {value!r}; expected a list of texts")
        if key == "class_names" and len(set(value)) != len(value):
            raise self.fault(key, "names a class twice")
        return tuple(value)

    def number(self, key: str, default: float, low: float, high: float, whole: bool = True) -> float:
        """A number from `low` to `high`."""
        value = self.get(key)
        if value is None:
            return default
        kinds = (int,) if whole else (int, float)
        if type(value) not in kinds or not low <= value <= high:
            kind = "whole number" if whole else "number"
            raise self.fault(key, f"is {value!r}; expected a {kind} from {low} to {high}")
        return float(value) if not whole else int(value)

    def image_size(self, key: str) -> tuple[int, int] | None:
        """[width, height], or None."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 2 or not all(type(n) is int and n > 0 for n in value):
            raise self.fault(key, f"is {value!r}; expected [width, height] in pixels")
        return value[0], value[1]

    def split(self, key: str) -> tuple[float, float, float]:
        """Three positive shares that make one whole."""
        value = self.get(key)
        if value is None:
            return DataSettings().split
        good = (
            isinstance(value, list)
            and len(value) == 3
            and all(type(n) in (int, float) and n > 0 for n in value)
        )
        if not good or abs(sum(value) - 1) > 1e-6:
            raise self.fault(
                key, f"is {value!r}; expected three positive shares with sum 1, such as [0.6, 0.2, 0.2]"
            )
        return value[0], value[1], value[2]


def _line_of(text: str, names: tuple[str, ...], key: str) -> int | None:
    """Find where a key, or else its table, is written; tomllib keeps no lines."""
    current: tuple[str, ...] = ()
    table_line = None
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[([^\]]+)\]", line)
        if header:
            current = tuple(part.strip().strip("'\"") for part in header[1].split("."))
            if current == (*names, key):
                return number
            if current == names:
                table_line = number
        elif current == names and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return table_line
