"""What requirements ask for, and which wheels meet them."""

import pytest
from packaging.version import Version

from challenge_bundle.formats.requirements import (
    Wheel,
    missing_requirements,
    parse_requirement,
    parse_requirements,
    parse_wheel,
    parse_wheels,
)

WHEELS = parse_wheels(
    [
        "numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl",
        "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
        "scikit_learn-1.9.1-py3-none-any.whl",
        "beta-2.0rc1-py3-none-any.whl",
        "notes.txt",
        "broken.whl",
    ]
)


def missing(text: str, python_version: str = "3.11") -> list[str]:
    lines = parse_requirements(text)
    return [line.text for line in missing_requirements(lines, WHEELS, python_version, "x86_64")]


def test_wheels_are_known_by_their_file_names() -> None:
    assert [str(wheel) for wheel in WHEELS] == [
        "beta==2.0rc1",
        "numpy==2.4.6",
        "scikit-learn==1.9.1",
        "torch==2.13.0+cpu",
    ]
    assert parse_wheel("torch==2.13.0+cpu") == Wheel("torch", Version("2.13.0+cpu"))  # type: ignore[arg-type]
    assert [parse_wheel(text) for text in ("torch", "torch==x", "a b==1", "==1")] == [None] * 4


def test_lines_with_comments_continuations_and_options() -> None:
    text = (
        "# all of it\n\nnumpy==2.4.6 # arrays\nscikit_learn \\\n  >=1.9\n-r more.txt\n"
        "torch==2.13.0 --hash=sha256:00\n./local.whl\nx @ https://example.org/x.whl\nurl#egg\n"
    )
    lines = parse_requirements(text)
    assert [(line.line, line.text, line.requirement is not None) for line in lines] == [
        (3, "numpy==2.4.6", True),
        (4, "scikit_learn   >=1.9", True),
        (6, "-r more.txt", False),
        (7, "torch==2.13.0", True),
        (8, "./local.whl", False),
        (9, "x @ https://example.org/x.whl", False),
        (10, "url#egg", False),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numpy==2.4.6", []),
        ("NumPy>=2,<3", []),
        ("numpy==2.4.7", ["numpy==2.4.7"]),
        ("numpy<2.4.6", ["numpy<2.4.6"]),
        ("numpy<=2.4.6", []),
        ("Scikit.Learn", []),
        # As pip: a local version meets a requirement that names none.
        ("torch==2.13.0", []),
        ("beta", []),
        ("pandas", ["pandas"]),
        ("pandas; python_version < '3.11'", []),
        ("pandas; python_version >= '3.11'", ["pandas; python_version >= '3.11'"]),
        ("pandas; sys_platform == 'win32'", []),
        ("pandas; extra == 'all'", []),
        ("-r more.txt\n./own.whl", []),
    ],
)
def test_what_no_wheel_meets(text: str, expected: list[str]) -> None:
    assert missing(text) == expected


def test_markers_are_those_of_the_image() -> None:
    assert missing("pandas; python_version < '3.12'", "3.11") == ["pandas; python_version < '3.12'"]
    assert missing("pandas; python_version < '3.12'", "3.12") == []
    assert missing("pandas; platform_machine == 'aarch64'") == []


@pytest.mark.parametrize("text", ["", "numpy 2", "--index-url https://x", "x @ file:///x.whl", "../x"])
def test_what_is_no_plain_requirement(text: str) -> None:
    assert parse_requirement(text) is None
