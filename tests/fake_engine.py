"""An engine that is none, for tests of what an evaluation does with an engine's answers."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from challenge_bundle.engines.base import (
    BuildOutcome,
    BuildSpec,
    Capacity,
    ImageInfo,
    OnLine,
    Outcome,
    RunSpec,
)
from challenge_bundle.engines.local import LocalEngine
from challenge_bundle.evaluation.context import Context, read_context
from challenge_bundle.formats.image_name import canonical_image
from challenge_bundle.layout import RESULTS_NAME, Layout
from challenge_bundle.settings import read_manifest

MANIFEST = """\
[bundle]
name = "tiny"

[evaluation]
attempts = 2
"""

DOCKERFILE = """\
FROM python:3.11-slim
COPY infer.py /opt/infer.py
USER 65534:65534
ENTRYPOINT ["python3", "/opt/infer.py"]
"""

Program = Callable[[RunSpec], Outcome]
WELL = Outcome(0, "", "", 1.0)


def make_context(layout: Layout) -> Context:
    """The context of a bundle whose images are there."""
    layout.manifest.write_text(MANIFEST)
    return read_context(read_manifest(layout.manifest), layout)


def put_zip(folder: Path, team: str, version: int = 1) -> Path:
    """A zip of a team, different from that of every other."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{team}__m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Dockerfile", DOCKERFILE)
        archive.writestr("infer.py", f"print({team!r}, {version})\n")
    return path


@dataclass
class World:
    """An engine, its machine and what each team's submission does there.

    Args:
        context: Gives the right answers.
        is_well: Whether the engine does harmless things.
        builds: What happens when the submission of a team is built; by default it is.
        programs: What the program of a team does; by default it answers rightly.
        scoring_fault: Raised when the scoring program's image is built.
        log: What was asked of the engine, by the team.
    """

    context: Context
    is_well: bool = True
    builds: dict[str, Callable[[], BuildOutcome]] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    scoring_fault: Exception | None = None
    log: list[str] = field(default_factory=list)

    def connect(self) -> "FakeRunner":
        """A connection to the engine."""
        return FakeRunner(self)

    def answer(self, run: RunSpec) -> Outcome:
        """Write the right classes for the test images by their pixels, whatever the files' names."""
        content = {
            (self.context.layout.testing_data / name).read_bytes(): class_name
            for name, class_name in self.context.reference.class_of.items()
        }
        rows = [f"{path.name},{content[path.read_bytes()]}\n" for path in sorted(run.input_dir.iterdir())]
        (run.output_dir / RESULTS_NAME).write_text("file,class\n" + "".join(rows))
        return WELL


_scored: dict[bytes, tuple[Outcome, dict[str, bytes]]] = {}
"""What the scoring program wrote, by its input: it takes a second, and is asked the same often."""


def score(run: RunSpec, on_line: OnLine) -> Outcome:
    """Run the scoring program as a process, unless that was done on the same input."""
    given = b"\0".join(path.read_bytes() for path in sorted(run.input_dir.rglob("*.csv")))
    if given not in _scored:
        outcome = LocalEngine().run(run, on_line)
        _scored[given] = outcome, {path.name: path.read_bytes() for path in run.output_dir.iterdir()}
    outcome, files = _scored[given]
    for name, content in files.items():
        (run.output_dir / name).write_bytes(content)
    return outcome


class FakeRunner(LocalEngine):
    """Answers as DockerEngine does; the scoring program is the real one."""

    name = "fake"
    description = "Engine 0"
    builds_images = True
    capacity = Capacity(cpus=2, memory_bytes=8 << 30)  # type: ignore[assignment]

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def build(self, spec: BuildSpec, on_line: OnLine) -> BuildOutcome:
        if spec.limits is None:
            if self.world.scoring_fault:
                raise self.world.scoring_fault
            return BuildOutcome("sha256:0")
        team = spec.files["infer.py"].read_text().split("'")[1]
        self.world.log.append(f"build {team}")
        return self.world.builds.get(team, lambda: BuildOutcome(f"sha256:{team}", 1))()

    def inspect(self, image: str) -> ImageInfo:
        return ImageInfo("sha256:1", (str(canonical_image(image)),), platform="linux/amd64")

    def works(self, image: str = "") -> bool:
        assert "-scoring:" in image
        self.world.log.append("trial")
        return self.world.is_well

    def run(self, spec: RunSpec, on_line: OnLine) -> Outcome:
        if spec.name == "scoring":
            return score(spec, on_line)
        team = self.team_of(spec.key)
        self.world.log.append(f"run {team}")
        return self.world.programs.get(team, self.world.answer)(spec)

    def team_of(self, sha256: str) -> str:
        with zipfile.ZipFile(self.world.context.layout.evaluation / "zips" / f"{sha256}.zip") as archive:
            return archive.read("infer.py").decode().split("'")[1]

    def forget(self, image: str) -> None:
        self.world.log.append("forget")
