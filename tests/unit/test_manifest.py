"""bundle.toml: every fault names its key and line."""

from pathlib import Path

import pytest

from tools.errors import ManifestError
from tools.layout import PROJECT_ROOT
from tools.manifest import DEFAULT_LIMITS, parse_manifest, read_manifest

PATH = Path("bundle.toml")


def test_the_projects_own() -> None:
    bundle = read_manifest(PROJECT_ROOT / "bundle.toml")
    assert bundle.name == "mednist"
    assert bundle.limits["inference"].memory_mb == 4096


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
        ('[bundle\nname = "x"', "bundle.toml: not valid TOML"),
    ],
)
def test_faults_name_key_and_line(text: str, message: str) -> None:
    with pytest.raises(ManifestError) as fault:
        parse_manifest(text, PATH)
    assert message in str(fault.value)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="not found; a bundle is a folder with a bundle.toml"):
        read_manifest(tmp_path / "bundle.toml")
