"""bundle.toml: every fault names its key and line."""

from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from challenge_bundle.commands.data import import_command
from challenge_bundle.data_settings import ImportRequest, ImportSettings
from challenge_bundle.dataset.fill import make_request
from challenge_bundle.errors import ManifestError
from challenge_bundle.formats.program_toml import Written
from challenge_bundle.formats.setting import Texts, settings_of
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from challenge_bundle.settings import DEFAULT_LIMITS, TABLES, parse_manifest, read_manifest

PATH = Path("bundle.toml")
CLASSES = {cls for classes in TABLES.values() for cls in classes} | {ImportRequest, Written}
EVERY_SETTING = [(cls, name) for cls in sorted(CLASSES, key=str) for name in settings_of(cls)]


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
    ("text", "code", "row", "key"),
    [
        ("", "setting-missing", None, "bundle.name"),
        ("[bundle]\nname = 3\n", "setting-type", 2, "bundle.name"),
        ('[bundle]\nname = "Has Blanks"\n', "setting-value", 2, "bundle.name"),
        ('[bundle]\nname = "x"\ntask = "magic"\n', "setting-value", 3, "bundle.task"),
        ('[bundle]\nname = "x"\n\n[scoring]\ntime_s = 0\n', "setting-value", 5, "scoring.time_s"),
        ('[bundle]\nname = "x"\n[scoring]\ntime_s = true\n', "setting-type", 4, "scoring.time_s"),
        ('[bundle]\nname = "x"\n[scoring]\nspeed = 1\n', "setting-unknown", 4, "scoring.speed"),
        ('[bundle]\nname = "x"\n[score]\n', "setting-unknown", 3, "score"),
        ('[bundel]\nname = "x"\n', "setting-unknown", 1, "bundel"),
        ('name = "x"\n', "setting-unknown", 1, "name"),
        ('[bundle]\nname = "x"\ndata.seed = 3\n', "setting-unknown", 1, "bundle.data"),
        ('scoring = 3\n[bundle]\nname = "x"\n', "setting-type", 1, "scoring"),
        ('[bundle]\nname = "x"\nclass_names = ["a", "a"]\n', "setting-duplicate", 3, "bundle.class_names"),
        ('[bundle]\nname = "x"\n[data]\nimage_size = [0, 1]\n', "setting-value", 4, "data.image_size"),
        ('[bundle]\nname = "x"\n[data]\nsplit = [0.5, 0.5, 0.5]\n', "setting-value", 4, "data.split"),
        (
            '[bundle]\nname = "x"\n[evaluation]\nmetric = "a b"\n',
            "setting-value",
            4,
            "evaluation.metric",
        ),
        (
            '[bundle]\nname = "x"\n[evaluation]\nbuild_network = 1\n',
            "setting-type",
            4,
            "evaluation.build_network",
        ),
        ('phases = 3\n[bundle]\nname = "x"\n', "setting-type", 1, "phases"),
        ('[bundle]\nname = "x"\n[[phases]]\nname = "a"\nopens = 3\n', "setting-type", 5, "phases.opens"),
        (
            '[bundle]\nname = "x"\n[[phases]]\nopens = 2026-01-02T00:00:00Z\n',
            "setting-missing",
            3,
            "phases.name",
        ),
        (
            '[bundle]\nname = "x"\n[[phases]]\nname = "a"\npart = "public"\n',
            "setting-contradiction",
            5,
            "phases.part",
        ),
        (
            '[bundle]\nname = "x"\n[[phases]]\nname = "a"\n[[phases]]\nname = "a"\n',
            "setting-duplicate",
            6,
            "phases.name",
        ),
        (
            '[bundle]\nname = "x"\n[[phases]]\nname = "a"\nopens = 2026-01-02T00:00:00Z\n'
            "closes = 2026-01-01T00:00:00Z\n",
            "setting-contradiction",
            6,
            "phases.closes",
        ),
        ('[bundle]\nname = "x"\n[evaluation]\npull = true\n', "setting-contradiction", 4, "evaluation.pull"),
        ('[bundle\nname = "x"', "manifest-not-toml", None, ""),
    ],
)
def test_faults_name_key_and_line(text: str, code: str, row: int | None, key: str) -> None:
    with pytest.raises(ManifestError) as fault:
        parse_manifest(text, PATH)
    found = fault.value.finding
    assert (found.code, found.location, found.row) == (code, "bundle.toml", row)
    assert found.message.startswith(f"'{key}'" if key else "not valid TOML")
    assert " but got " in found.message or code not in ("setting-type", "setting-value")
    assert found.hint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "[scoring]\ntime_s = 0",
            "bundle.toml:4: 'scoring.time_s': expected a whole number from 1 to 10000000 but got 0;"
            " write it as in time_s = 1800",
        ),
        ("[scoring]\ntimes = 0", "bundle.toml:4: 'scoring.times' is not a setting; write time_s"),
        ("seed = 3", "bundle.toml:3: 'bundle.seed' is not a setting; move it to [data]"),
        ("data.seed = 3", "bundle.toml:1: 'bundle.data' is not a setting; begin a table [data]"),
        (
            '[evaluation]\nbase_images = ["a:1", "A B"]',
            "bundle.toml:4: 'evaluation.base_images': expected image names but got 'A B';"
            ' write it as in base_images = ["python:3.11-slim"]',
        ),
    ],
)
def test_a_message_names_what_was_expected_and_what_to_do(line: str, message: str) -> None:
    with pytest.raises(ManifestError) as fault:
        parse_manifest(f'[bundle]\nname = "x"\n{line}\n', PATH)
    assert str(fault.value) == message


def test_a_key_of_no_known_name_gets_those_there_are() -> None:
    with pytest.raises(ManifestError) as fault:
        parse_manifest('[bundle]\nname = "x"\n[submission]\nxyz = 3\n', PATH)
    assert fault.value.finding.hint == "expected one of files, kinds, unpacked_mb, zip_mb"


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as fault:
        read_manifest(tmp_path / "bundle.toml")
    assert (fault.value.code, fault.value.path) == ("manifest-not-found", tmp_path / "bundle.toml")
    (tmp_path / "bundle.toml").write_bytes(b"\xff")
    with pytest.raises(ManifestError) as fault:
        read_manifest(tmp_path / "bundle.toml")
    assert fault.value.code == "manifest-not-utf8"


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


@pytest.mark.parametrize(("cls", "name"), EVERY_SETTING, ids=lambda value: getattr(value, "__name__", value))
def test_a_declared_setting_is_all_that_the_reader_needs(cls: type, name: str) -> None:
    """Its example is accepted, its default too, and it is described."""
    one = settings_of(cls)[name]
    assert one.accept(one.example) is not None
    assert one.help.endswith(".")
    assert one.values
    assert one.default is not None or one.default_words


@pytest.mark.parametrize("name", settings_of(ImportSettings))
def test_a_setting_of_an_import_reaches_file_option_request_and_page(name: str, tmp_path: Path) -> None:
    """Whoever declares one more writes nothing else, but what it does."""
    one = settings_of(ImportSettings)[name]
    expected = one.accept(one.example)
    layout = Layout(tmp_path)
    from_file = parse_manifest(f'[bundle]\nname = "x"\n[data]\n{one.line}\n', PATH)
    assert getattr(from_file.data, name) == expected
    assert getattr(make_request(from_file, layout), name) == expected

    parameter = next(p for p in import_command.params if p.name == name)
    assert isinstance(parameter, click.Option)
    assert parameter.help == one.help
    words = (
        []
        if one.kind is bool
        else [str(v) for v in (expected if isinstance(expected, tuple) else [expected])]
    )
    if one.kind == Texts:
        words = [word for text in expected for word in (parameter.opts[0], text)][1:]
    with import_command.make_context("import", [parameter.opts[0], *words]) as ctx:
        given = ctx.params[name]
    assert given == expected
    plain_bundle = parse_manifest('[bundle]\nname = "x"\n', PATH)
    assert getattr(make_request(plain_bundle, layout), name) == one.default
    assert getattr(make_request(plain_bundle, layout, {name: given}, tmp_path), name) == expected

    page = (PROJECT_ROOT / "docs" / "reference" / "bundle-toml.md").read_text()
    assert f"| `{name}` |" in page


def test_an_option_that_is_not_given_leaves_the_manifests_value() -> None:
    with import_command.make_context("import", []) as ctx:
        assert all(value is None for value in ctx.params.values())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seed", "-1"], "expected a whole number from 0 to 4294967295 but got -1"),
        (
            ["--split", "0.5", "0.5", "0.5"],
            "expected three positive shares with sum 1 but got [0.5, 0.5, 0.5]",
        ),
        (["--image-size", "0", "64"], "expected [width, height] in pixels but got [0, 64]"),
    ],
)
def test_an_option_has_the_rules_of_the_file(words: list[str], message: str) -> None:
    with pytest.raises(click.BadParameter) as fault:
        import_command.make_context("import", words)
    assert fault.value.message == message
