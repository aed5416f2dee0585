"""An engine that is none, for tests of what an evaluation does with an engine's answers."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from challenge_bundle.engines.base import OnLine, Outcome, ProgramRun
from challenge_bundle.engines.docker.base_images import FoundImage
from challenge_bundle.engines.docker.container import Host
from challenge_bundle.engines.docker.images import ImagePlan
from challenge_bundle.engines.docker.submission_build import BuildOutcome
from challenge_bundle.engines.local import LocalRunner
from challenge_bundle.evaluation.context import Context, read_context
from challenge_bundle.formats.build_recipe import DEFAULT_SHELL, BaseConfig
from challenge_bundle.layout import RESULTS_NAME, Layout
from challenge_bundle.settings import EvaluationSettings, read_manifest

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

Program = Callable[[ProgramRun], Outcome]
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

    def answer(self, run: ProgramRun) -> Outcome:
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


def score(run: ProgramRun, on_line: OnLine) -> Outcome:
    """Run the scoring program as a process, unless that was done on the same input."""
    given = b"\0".join(path.read_bytes() for path in sorted(run.input_dir.rglob("*.csv")))
    if given not in _scored:
        outcome = LocalRunner().run(run, on_line)
        _scored[given] = outcome, {path.name: path.read_bytes() for path in run.output_dir.iterdir()}
    outcome, files = _scored[given]
    for name, content in files.items():
        (run.output_dir / name).write_bytes(content)
    return outcome


class FakeRunner:
    """Answers as DockerRunner does; the scoring program is the real one."""

    engine = "Engine 0"
    wheelhouse = None
    host = Host(cpus=2, gives_gpu=False, user="0:0", memory_bytes=8 << 30)

    def __init__(self, world: World) -> None:
        self.world = world

    def sweep(self, owner: str, key: str = "") -> int:
        return 0

    def left_builds(self, owner: str) -> dict[str, dict[str, bool]]:
        return {}

    def build(self, run: ProgramRun, on_line: OnLine) -> str:
        if self.world.scoring_fault:
            raise self.world.scoring_fault
        return "scoring:1"

    def build_foreign(
        self, plan: ImagePlan, owner: str, key: str, settings: EvaluationSettings, on_line: OnLine
    ) -> BuildOutcome:
        team = plan.files["infer.py"].read_text().split("'")[1]
        self.world.log.append(f"build {team}")
        return self.world.builds.get(team, lambda: BuildOutcome(f"sha256:{team}", 1))()

    def image_id(self, name: str) -> str:
        return "sha256:1"

    def base_image(self, name: str) -> FoundImage:
        return FoundImage(BaseConfig({}, DEFAULT_SHELL), False, False, "linux/amd64")

    def is_well(self, image: str = "") -> bool:
        assert image == "scoring:1"
        self.world.log.append("trial")
        return self.world.is_well

    def run_image(self, run: ProgramRun, image: str, on_line: OnLine) -> Outcome:
        if run.name == "scoring":
            return score(run, on_line)
        team = self.team_of(run.key)
        self.world.log.append(f"run {team}")
        return self.world.programs.get(team, self.world.answer)(run)

    def team_of(self, sha256: str) -> str:
        with zipfile.ZipFile(self.world.context.layout.evaluation / "zips" / f"{sha256}.zip") as archive:
            return archive.read("infer.py").decode().split("'")[1]

    def forget_image(self, name: str) -> None:
        self.world.log.append("forget")

    def close(self) -> None:
        pass
