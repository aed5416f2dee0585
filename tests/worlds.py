"""An engine on which some submissions meet faults: what an evaluation does with the answers of an engine."""

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from challenge_bundle.engines.base import BuildOutcome, BuildSpec, OnLine, Outcome, RunSpec
from challenge_bundle.evaluation.context import Context, read_context
from challenge_bundle.layout import Layout
from challenge_bundle.settings import read_manifest
from tests.fake_engine import FakeEngine

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

INFER = """\
TEAM, VERSION = {team!r}, {version}
CLASS_OF = {class_of!r}
import hashlib, os, sys
rows = ["file,class"]
for name in sorted(os.listdir(sys.argv[1])):
    content = open(os.path.join(sys.argv[1], name), "rb").read()
    rows.append(name + "," + CLASS_OF[hashlib.sha256(content).hexdigest()])
{more}
open(os.path.join(sys.argv[2], "classification_results.csv"), "w").write("\\n".join(rows) + "\\n")
"""

Program = Callable[[RunSpec], Outcome]


def make_context(layout: Layout) -> Context:
    """The context of a bundle whose images are there."""
    layout.manifest.write_text(MANIFEST)
    return read_context(read_manifest(layout.manifest), layout)


def put_zip(context: Context, folder: Path, team: str, version: int = 1, more: str = "") -> Path:
    """A zip of a team, different from that of every other; it knows the right class of each image's pixels.

    Args:
        context: Gives the classes.
        folder: Gets the zip.
        team: Who sends it.
        version: Another one gives another zip.
        more: Code that runs before the answers are written.
    """
    class_of = {
        hashlib.sha256((context.layout.testing_data / name).read_bytes()).hexdigest(): class_name
        for name, class_name in sorted(context.reference.label_of.items())
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{team}__m.zip"
    code = INFER.format(team=team, version=version, class_of=class_of, more=more)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Dockerfile", DOCKERFILE)
        archive.writestr("infer.py", code)
    return path


@dataclass
class World:
    """An engine, its machine, and the faults that the submissions of some teams meet there.

    Args:
        context: Of the bundle.
        root: Of the engine.
        is_well: Whether the engine does harmless things.
        builds: What happens when the submission of a team is built; by default it is built.
        programs: What happens when the program of a team is run; by default it is run.
        scoring_fault: Raised when the scoring program's image is built.
        log: What was asked of the engine, by the team.
    """

    context: Context
    root: Path
    is_well: bool = True
    builds: dict[str, Callable[[], BuildOutcome]] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    scoring_fault: Exception | None = None
    log: list[str] = field(default_factory=list)

    def connect(self) -> "FaultyEngine":
        """A connection to the engine."""
        return FaultyEngine(self)

    def answer(self, spec: RunSpec) -> Outcome:
        """Run a program as it is."""
        return FakeEngine(self.root).run(spec, lambda line: None)


class FaultyEngine(FakeEngine):
    """The fake engine with the faults of a World."""

    def __init__(self, world: World) -> None:
        super().__init__(world.root)
        self.world = world

    def build(self, spec: BuildSpec, on_line: OnLine) -> BuildOutcome:
        """Build, unless the world has a fault for it."""
        if spec.limits is None:
            if self.world.scoring_fault:
                raise self.world.scoring_fault
            return super().build(spec, on_line)
        team = spec.files["infer.py"].read_text().split("'")[1]
        self.world.log.append(f"build {team}")
        outcome = super().build(spec, on_line)
        return self.world.builds[team]() if team in self.world.builds else outcome

    def run(self, spec: RunSpec, on_line: OnLine) -> Outcome:
        """Run, unless the world has a fault for it."""
        if spec.name == "scoring":
            return super().run(spec, on_line)
        team = self._team_of(spec.key)
        self.world.log.append(f"run {team}")
        return self.world.programs[team](spec) if team in self.world.programs else super().run(spec, on_line)

    def works(self, image: str = "") -> bool:
        """Whether the world is well."""
        assert "-scoring:" in image
        self.world.log.append("trial")
        return self.world.is_well and super().works(image)

    def forget(self, image: str) -> None:
        """Note it, and remove the image."""
        self.world.log.append("forget")
        super().forget(image)

    def _team_of(self, sha256: str) -> str:
        with zipfile.ZipFile(self.world.context.layout.kept_zips / f"{sha256}.zip") as archive:
            return archive.read("infer.py").decode().split("'")[1]
