"""What is read of a Dockerfile."""

import pytest

from tools.formats.dockerfile import base_images, copied_sources, parse_dockerfile

TEXT = """\
# syntax=docker/dockerfile:1
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE} AS base
COPY --chown=1:1 a.py \\
     # a comment inside
     b.py /opt/
COPY ["with blank.txt", "/opt/"]
copy --from=base /x /y
ADD https://example.org/z /z
RUN <<EOF
COPY not/me /there
EOF
USER 1000
ENTRYPOINT ["python", "a.py"]
"""


def test_instructions_with_their_lines() -> None:
    found = [(instruction.name, instruction.line) for instruction in parse_dockerfile(TEXT)]
    assert found == [
        ("ARG", 2),
        ("FROM", 3),
        ("COPY", 4),
        ("COPY", 7),
        ("COPY", 8),
        ("ADD", 9),
        ("RUN", 10),
        ("USER", 13),
        ("ENTRYPOINT", 14),
    ]


def test_copied_sources() -> None:
    assert copied_sources(parse_dockerfile(TEXT)) == [("a.py", 4), ("b.py", 4), ("with blank.txt", 7)]


def test_unfinished_files_end() -> None:
    assert parse_dockerfile("RUN a \\") != []
    assert parse_dockerfile("RUN <<EOF\nnever closed") != []
    assert copied_sources(parse_dockerfile("COPY [not json\nCOPY 'open quote /x")) == [
        ("'open", 2),
        ("quote", 2),
    ]


def test_shell_arithmetic_is_no_heredoc() -> None:
    text = "FROM a\nRUN echo $((1<<2))\nCMD x\n"
    assert [instruction.name for instruction in parse_dockerfile(text)] == ["FROM", "RUN", "CMD"]


def test_flags_and_continued_lines_without_end() -> None:
    """A stranger's Dockerfile: the time must not grow with the square of its size (else: half an hour)."""
    flags = parse_dockerfile("COPY " + "--a " * 200_000 + "x y\n")
    assert (len(flags[0].flags), flags[0].value) == (200_000, "x y")
    lines = parse_dockerfile("RUN a" + "\\\n" * 200_000)
    assert [instruction.name for instruction in lines] == ["RUN"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM python:3.11", ["python:3.11"]),
        ("ARG B=python:3.11\nFROM ${B} AS one\nFROM $B\nCOPY --from=one /a /b", ["given", "given"]),
        ("ARG C\nFROM ${C:-debian}\nCOPY --from=other/image:1 /a /b", ["debian", "other/image:1"]),
        ("FROM --platform=linux/amd64 a AS One\nFROM one\nCOPY --from=ONE a b\nCOPY --from=0 a b", ["a"]),
        ("FROM scratch", []),
        # The stage comes later, so the name is an image's.
        ("FROM a\nCOPY --from=late x y\nFROM b AS late", ["a", "late", "b"]),
    ],
)
def test_images_that_are_built_on(text: str, expected: list[str]) -> None:
    assert base_images(parse_dockerfile(text), {"B": "given"}) == expected
