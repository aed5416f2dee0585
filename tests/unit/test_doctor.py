"""What `doctor` finds, and what submissions need."""

from pathlib import Path

import pytest

from challenge_bundle.doctor import can_run, examine
from challenge_bundle.findings import Finding
from challenge_bundle.layout import Layout
from tests.wheels import write_wheel


@pytest.fixture
def organiser(filled_layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.delenv("BUNDLE_WHEELHOUSE", raising=False)
    program = filled_layout.root / "bundle_inference"
    program.mkdir()
    (program / "Dockerfile").write_text("FROM nowhere.invalid/base:1\n")
    (program / "requirements.txt").write_text("alpha==1.0\n")
    return filled_layout


def wheels(layout: Layout) -> Finding | None:
    found = [finding for finding in examine(layout) if finding.code.startswith("wheels")]
    return found[0] if found else None


def test_wheels_of_submissions(organiser: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = wheels(organiser)
    assert missing is not None
    assert (missing.code, missing.severity) == ("wheels-out-of-date", "warning")
    assert missing.location == "wheels of submissions"
    assert missing.message == "there are none"
    assert ".bundle/wheelhouse" in missing.hint
    write_wheel(organiser.root / "elsewhere" / "bundle_inference", "alpha")
    monkeypatch.setenv("BUNDLE_WHEELHOUSE", str(organiser.root / "elsewhere"))
    assert wheels(organiser) == Finding("wheels", "note", "wheels of submissions", "all here")
    monkeypatch.delenv("BUNDLE_WHEELHOUSE")
    write_wheel(organiser.wheelhouse / "bundle_inference", "alpha")
    assert wheels(organiser) == Finding("wheels", "note", "wheels of submissions", "all here")


def test_who_builds_with_a_network_or_evaluates_nothing_needs_none(organiser: Layout) -> None:
    manifest = organiser.manifest.read_text()
    organiser.manifest.write_text(manifest + "\n[evaluation]\nbuild_network = true\n")
    assert wheels(organiser) is None
    organiser.manifest.write_text(manifest)
    organiser.solution_csv("testing").unlink()
    assert wheels(organiser) is None


def test_a_folder_that_is_no_bundle_is_examined_as_well(tmp_path: Path) -> None:
    found = examine(Layout(tmp_path))
    assert can_run(found)
    assert {"Python", "free disk", "memory"} <= {finding.location for finding in found}
    assert not {"wheels of submissions", "base image"} & {finding.location for finding in found}
