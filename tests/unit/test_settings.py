"""bundle.toml: every fault names its key and line."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from challenge_bundle.errors import ManifestError
from challenge_bundle.layout import PROJECT_ROOT
from challenge_bundle.settings import DEFAULT_LIMITS, parse_manifest, read_manifest

PATH = Path("bundle.toml")


def test_the_projects_own() -> None:
    bundle = read_manifest(PROJECT_ROOT / "bundle.toml")
    assert bundle.name == "mednist"
    assert bundle.limits["inference"].memory_mb == 4096


def test_leaks_are_allowed_by_name_alone() -> None:
    assert not parse_manifest('[bundle]\nname = "x"\n', PATH).data.allow_leaks
    text = '[bundle]\nname = "x"\n[data]\nallow_leaks = true\n'
    assert parse_manifest(text, PATH).data.allow_leaks
    assert not parse_manifest(text, PATH).data.any_size
    assert parse_manifest(f"{text}any_size = true\n", PATH).data.any_size


def test_metadata_are_removed_by_name_alone() -> None:
    assert not parse_manifest('[bundle]\nname = "x"\n', PATH).data.strip_metadata
    text = '[bundle]\nname = "x"\n[data]\nstrip_metadata = true\n'
    assert parse_manifest(text, PATH).data.strip_metadata


def test_the_least_there_can_be() -> None:
    bundle = parse_manifest('[bundle]\nname = "x"\n', PATH)
    assert bundle.title == "x"
    assert bundle.limits == DEFAULT_LIMITS
    assert bundle.data.source == "synthetic"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "bundle.toml: 'bundle.name' is missing"),
        ("[bundle]\nname = 3\n", "bundle.toml:2: 'bundle.name' is 3"),
        ('[bundle]\nname = "Has Blanks"\n', "bundle.toml:2: 'bundle.name' is 'Has Blanks'"),
        (
            '[bundle]\nname = "x"\ntask = "magic"\n',
            "bundle.toml:3: 'bundle.task' is 'magic'; expected cl",
        ),
        (
            '[bundle]\nname = "x"\n\n[scoring]\ntime_s = 0\n',
            "bundle.toml:5: 'scoring.time_s' is 0; expected",
        ),
        ('[bundle]\nname = "x"\n[scoring]\ntime_s = true\n', "bundle.toml:4: 'scoring.time_s' is True"),
        ('[bundle]\nname = "x"\n[scoring]\nspeed = 1\n', "bundle.toml:4: 'scoring.speed' is not known here"),
        ('[bundle]\nname = "x"\n[score]\n', "bundle.toml:3: 'score' is not known here"),
        ('scoring = 3\n[bundle]\nname = "x"\n', "bundle.toml:1: 'scoring' must be a table"),
        (
            '[bundle]\nname = "x"\nclass_names = ["a", "a"]\n',
            "bundle.toml:3: 'bundle.class_names' names a",
        ),
        ('[bundle]\nname = "x"\n[data]\nimage_size = [0, 1]\n', "bundle.toml:4: 'data.image_size'"),
        ('[bundle]\nname = "x"\n[data]\nsplit = [0.5, 0.5, 0.5]\n', "bundle.toml:4: 'data.split'"),
        ('[bundle]\nname = "x"\n[evaluation]\nmetric = "luck"\n', "bundle.toml:4: 'evaluation.metric'"),
        ('[bundle]\nname = "x"\n[evaluation]\nbuild_network = 1\n', "'evaluation.build_network' is 1"),
        ('phases = 3\n[bundle]\nname = "x"\n', "'phases' must be a list of tables; write each as [[phases]]"),
        ('[bundle]\nname = "x"\n[[phases]]\nname = "a"\nopens = 3\n', "'phases.opens' is 3; expected a date"),
        (
            '[bundle]\nname = "x"\n[[phases]]\nname = "a"\npart = "public"\n',
            "'phases.part' is 'public'; expected all",
        ),
        (
            '[bundle]\nname = "x"\n[[phases]]\nname = "a"\n[[phases]]\nname = "a"\n',
            "bundle.toml:6: 'phases.name' is 'a', as of another phase",
        ),
        (
            '[bundle]\nname = "x"\n[[phases]]\nname = "a"\nopens = 2026-01-02T00:00:00Z\n'
            "closes = 2026-01-01T00:00:00Z\n",
            "bundle.toml:6: 'phases.closes' is not after 'opens'",
        ),
        ('[bundle\nname = "x"', "bundle.toml: not valid TOML"),
    ],
)
def test_faults_name_key_and_line(text: str, message: str) -> None:
    with pytest.raises(ManifestError) as fault:
        parse_manifest(text, PATH)
    assert message in str(fault.value)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as fault:
        read_manifest(tmp_path / "bundle.toml")
    assert fault.value.code == "manifest-missing"
    assert fault.value.finding.location == str(tmp_path / "bundle.toml")


def test_phases() -> None:
    text = """
[bundle]
name = "x"

[evaluation]
public_share = 0.3

[[phases]]
name = "development"
opens = 2026-01-01T00:00:00Z
closes = 2026-02-01T01:00:00+01:00
submissions_per_day = 5

[[phases]]
name = "final"
opens = 2026-02-01T00:00:00
part = "final"
"""
    first, second = parse_manifest(text, PATH).evaluation.phases
    assert (first.part, first.submissions_per_day, second.part) == ("public", 5, "final")
    assert first.closes == second.opens
    turn = datetime(2026, 2, 1, tzinfo=UTC)
    assert second.is_open(turn)
    assert not first.is_open(turn)


def test_without_phases_one_is_open() -> None:
    (phase,) = parse_manifest('[bundle]\nname = "x"\n', PATH).evaluation.phases
    assert (phase.name, phase.part) == ("open", "all")
    assert phase.is_open(datetime.now(UTC))
