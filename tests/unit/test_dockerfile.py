"""What a Dockerfile is read as, what is refused of it, and what the engine gets instead."""

import contextlib
import itertools
import random
import time
from pathlib import Path

import pytest

from challenge_bundle.formats.build_recipe import BaseConfig, read_recipe
from challenge_bundle.formats.container_image_name import canonical_image, is_allowed
from challenge_bundle.formats.dockerfile import MAX_BYTES, MAX_INSTRUCTIONS, DockerfileError, parse_dockerfile
from challenge_bundle.installation import PROJECT_ROOT

TEXT = """\
# syntax=docker/dockerfile:1
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE} AS base
COPY --chown=1:1 a.py \\
     # a comment inside
     b.py /opt/
COPY ["with blank.txt", "/opt/"]
from scratch
copy --from=base /x /y
ADD z.txt /z
RUN echo $((1<<2))
USER 1000
ENTRYPOINT ["python", "a.py"]
"""


def written(text: str, **arguments: str) -> list[str]:
    return list(read_recipe(text, arguments).lines)


def refusal(text: str) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        read_recipe(text, {})
    return caught.value


def test_instructions_with_their_lines() -> None:
    found = [(instruction.name, instruction.line) for instruction in parse_dockerfile(TEXT)]
    assert found == [
        ("ARG", 2),
        ("FROM", 3),
        ("COPY", 4),
        ("COPY", 7),
        ("FROM", 8),
        ("COPY", 9),
        ("ADD", 10),
        ("RUN", 11),
        ("USER", 12),
        ("ENTRYPOINT", 13),
    ]


def test_written_again_in_one_form() -> None:
    recipe = read_recipe(TEXT, {"BASE_IMAGE": "debian"})
    assert recipe.text == (
        "ARG BASE_IMAGE=python:3.11-slim\n"
        "FROM docker.io/library/debian:latest AS base\n"
        'COPY --chown=1:1 ["a.py", "b.py", "/opt/"]\n'
        'COPY ["with blank.txt", "/opt/"]\n'
        "FROM scratch\n"
        'COPY --from=0 ["/x", "/y"]\n'
        'COPY ["z.txt", "/z"]\n'
        'RUN ["/bin/sh", "-c", "echo $((1<<2))"]\n'
        "USER 1000\n"
        'ENTRYPOINT ["python", "a.py"]\n'
    )
    assert [(base.name, base.line, base.has_version) for base in recipe.bases] == [
        ("docker.io/library/debian:latest", 3, False)
    ]
    assert [(copied.sources, copied.line, copied.unpacks) for copied in recipe.copies] == [
        (("a.py", "b.py"), 4, False),
        (("with blank.txt",), 7, False),
        (("z.txt",), 10, True),
    ]
    assert (recipe.user, recipe.has_command, recipe.arguments) == ("1000", True, {"BASE_IMAGE"})


def test_what_is_written_is_read_the_same_again() -> None:
    for folder in ("bundle_training", "bundle_inference", "scoring_program"):
        text = (PROJECT_ROOT / folder / "Dockerfile").read_text()
        once = read_recipe(text, {"BASE_IMAGE": "a/b:1"})
        again = read_recipe(once.text, {})
        assert again.lines == once.lines
        assert {base.name for base in once.bases} == {"docker.io/a/b:1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeffFROM a:1\n", ["FROM docker.io/library/a:1"]),
        ('FROM\ta:1\nCMD\t["x"]', ["FROM docker.io/library/a:1", 'CMD ["x"]']),
        ("\t from  a:1\tas\tOne  \n", ["FROM docker.io/library/a:1 AS one"]),
        ("FROM a:1\r\nUSER 1\r\n", ["FROM docker.io/library/a:1", "USER 1"]),
        ("FROM a:1\nENV A=1 \\\n\n  \t\nB=2", ["FROM docker.io/library/a:1", "ENV A=1 B=2"]),
        ("FROM a:1\nENV A=1 \\ \t\n  # no \\\n B=2", ["FROM docker.io/library/a:1", "ENV A=1 B=2"]),
        ("\\\nFROM \\\n a:1", ["FROM docker.io/library/a:1"]),
        ("FROM a:1\nUSER 1 \\", ["FROM docker.io/library/a:1", "USER 1"]),
        ("# \u00a0\x0b\u2028\0 comments\n#escape=\\\nFROM a:1", ["FROM docker.io/library/a:1"]),
        ("FROM a:1\n# escape=`\n", ["FROM docker.io/library/a:1"]),
        ("FROM scratch\nMAINTAINER it's $1", ["FROM scratch", "MAINTAINER it's $1"]),
        ("FROM scratch\nENV A  old form", ["FROM scratch", "ENV A  old form"]),
        ("FROM scratch\nLABEL \"a b\"='c d' e=f\\ g", ["FROM scratch", "LABEL \"a b\"='c d' e=f\\ g"]),
        ("FROM scratch\nLABEL a=\u00e9\u4e2d", ["FROM scratch", "LABEL a=\u00e9\u4e2d"]),
        ("FROM scratch\nRUN [ -f x ] && y", ["FROM scratch", 'RUN ["/bin/sh", "-c", "[ -f x ] && y"]']),
        ('FROM scratch\nRUN ["a", "\\n\u00e9"]', ["FROM scratch", 'RUN ["a", "\\n\\u00e9"]']),
        ("FROM scratch\nRUN a\t b", ["FROM scratch", 'RUN ["/bin/sh", "-c", "a\\t b"]']),
        (
            'FROM scratch\nSHELL ["/x", "-e"]\nRUN y\nCMD z "q"',
            ["FROM scratch", 'SHELL ["/x", "-e"]', 'RUN ["/x", "-e", "y"]', 'CMD ["/x", "-e", "z \\"q\\""]'],
        ),
        ("FROM --platform=linux/amd64 a:1", ["FROM docker.io/library/a:1"]),
        ("FROM scratch\nCMD {}", ["FROM scratch", 'CMD ["/bin/sh", "-c", "{}"]']),
        ("FROM scratch\nCMD []", ["FROM scratch", "CMD []"]),
        ("FROM scratch\nhealthcheck none", ["FROM scratch", "HEALTHCHECK NONE"]),
        (
            "FROM scratch\nHEALTHCHECK --interval=1s --retries=2 CMD [ -f /x ]",
            ["FROM scratch", "HEALTHCHECK --interval=1s --retries=2 CMD [ -f /x ]"],
        ),
        ("FROM scratch\nADD --chown=a:b c /d", ["FROM scratch", 'COPY --chown=a:b ["c", "/d"]']),
        ('FROM scratch\nCOPY "a" /$X/', ["FROM scratch", 'COPY ["a", "/$X/"]']),
        ("FROM scratch\nCOPY [ab].txt \u00e9 /", ["FROM scratch", 'COPY ["[ab].txt", "\\u00e9", "/"]']),
    ],
)
def test_valid_files_are_read(text: str, expected: list[str]) -> None:
    assert written(text) == expected


@pytest.mark.parametrize(
    ("text", "line", "code", "word"),
    [
        ("", 1, "dockerfile-empty", "no instruction"),
        ("# only a comment\n\n", 1, "dockerfile-empty", "no instruction"),
        ("RUN x", 1, "dockerfile-no-from", "does not begin with FROM"),
        ("ARG A=1\n", 1, "dockerfile-no-from", "does not begin with FROM"),
        ("FROM a:1\nHELLO x", 2, "dockerfile-instruction", "'HELLO' is not an instruction"),
        ("FROM a:1\nONBUILD RUN x", 2, "base-image", "ONBUILD would run"),
        ("FROM a:1\nonbu\u0131ld RUN x", 2, "base-image", "ONBUILD would run"),
        ("FROM a:1\nON\u0042U\u0130LD RUN x", 2, "dockerfile-instruction", "not an instruction"),
        ("FROM a:1\nU\u017fER x", 2, "dockerfile-instruction", "not an instruction"),
        ("FROM a:1\nWOR\u212aDIR x", 2, "dockerfile-instruction", "not an instruction"),
        ("FROM a:1\n\nRUN", 3, "dockerfile-no-value", "RUN has no value"),
        ("FROM a:1\nRUN \\", 2, "dockerfile-no-value", "RUN has no value"),
        ("FROM a:1\nRUN x \\\\", 2, "dockerfile-open-continuation", "ends with a backslash"),
        ("FROM a:1\n\\", 2, "dockerfile-open-continuation", "ends with a backslash"),
        ("FROM a:1\u00a0\\\n", 1, "dockerfile-invisible-character", "U+00A0 (NO-BREAK SPACE) in column 9"),
        ("FROM a:1\nRUN x \\\n y\u200b", 3, "dockerfile-invisible-character", "U+200B"),
        ("FROM a:1\nRUN a\x0bCOPY b /", 2, "dockerfile-invisible-character", "U+000B"),
        ("FROM a:1\nRUN a\x0cb", 2, "dockerfile-invisible-character", "U+000C"),
        ("FROM a:1\nRUN a\x85COPY b /", 2, "dockerfile-invisible-character", "U+0085"),
        ("FROM a:1\nRUN a\u2028COPY b /", 2, "dockerfile-invisible-character", "U+2028"),
        ("FROM a:1\nRUN a\rCOPY b /", 2, "dockerfile-invisible-character", "U+000D"),
        ("FROM a:1\nRUN a\r\r\n", 2, "dockerfile-invisible-character", "U+000D"),
        ("FROM a:1\nRUN a\0b", 2, "dockerfile-invisible-character", "U+0000"),
        ("\ufeff\ufeffFROM a:1", 1, "dockerfile-invisible-character", "U+FEFF"),
        ("# escape=`\nFROM a:1", 1, "dockerfile-escape-directive", "another escape character"),
        ("\ufeff#EsCaPe = `\nFROM a:1", 1, "dockerfile-escape-directive", "another escape character"),
        (
            "#syntax=docker/dockerfile:1\n# escape=`\nFROM a:1",
            2,
            "dockerfile-escape-directive",
            "another escape character",
        ),
        (
            "\ufeff# syntax=127.0.0.1:5000/x\nFROM a:1",
            1,
            "dockerfile-syntax-directive",
            "the syntax '127.0.0.1:5000/x'",
        ),
        ("# syntax = docker/dockerfile-upstream:1\nFROM a:1", 1, "dockerfile-syntax-directive", "the syntax"),
        ("FROM a:1\nRUN --mount=type=bind,from=b,target=/x true", 2, "base-image", "flag '--mount=type=bind"),
        ("FROM a:1\nRUN --network=host true", 2, "dockerfile-flag", "flag '--network=host'"),
        ("FROM a:1\nRUN --security=insecure true", 2, "dockerfile-flag", "flag '--security"),
        ("FROM a:1\nRUN -- true", 2, "dockerfile-flag", "flag '--'"),
        ('FROM a:1\nCOPY --from="x" /a /b', 2, "base-image", "flag '--from="),
        ("FROM a:1\nCOPY --fr\\om=x /a /b", 2, "dockerfile-flag", "flag '--fr"),
        ("FROM a:1\nCOPY --from x /a /b", 2, "base-image", "flag '--from'"),
        ("FROM a:1\nCOPY --chown=1 --chown=2 a /b", 2, "dockerfile-duplicate-flag", "same flag twice"),
        ("FROM a:1\nCOPY --chmod=755 a /b", 2, "dockerfile-flag", "flag '--chmod=755'"),
        ("FROM a:1\nCOPY --link a /b", 2, "dockerfile-flag", "flag '--link'"),
        ("FROM a:1\nADD --checksum=sha256:0 http://x/y /b", 2, "dockerfile-flag", "flag '--checksum"),
        ("FROM a:1\nADD --from=x y /b", 2, "base-image", "flag '--from=x'"),
        ("FROM a:1\nENV --x A=1", 2, "dockerfile-flag", "flag '--x'"),
        ("FROM a:1\nRUN <<EOF\nCOPY a b\nEOF", 2, "dockerfile-heredoc", "heredoc"),
        ("FROM a:1\nRUN cat 3<<-'EOF' > x", 2, "dockerfile-heredoc", "heredoc"),
        ("FROM a:1\nCOPY <<EOF /x\nEOF", 2, "dockerfile-heredoc", "heredoc"),
        ('FROM a:1\nCOPY ["<<EOF", "/x"]', 2, "dockerfile-heredoc", "heredoc"),
        ("FROM a:1\nRUN [1]", 2, "dockerfile-json-form", "not a list of strings"),
        ('FROM a:1\nCMD ["python" "x.py"]', 2, "dockerfile-json-form", "not valid JSON"),
        ("FROM a:1\nCMD ['python', 'x.py']", 2, "dockerfile-json-form", "not valid JSON"),
        ('FROM a:1\nCMD ["\\ud800"]', 2, "dockerfile-json-form", "not valid Unicode"),
        ('FROM a:1\nCMD ["\\u0000"]', 2, "dockerfile-json-form", "not valid Unicode"),
        ("FROM a:1\nRUN []", 2, "dockerfile-no-command", "RUN has no command"),
        ("FROM a:1\nRUN " + "[" * 60_000, 2, "dockerfile-json-form", "nested too deep"),
        ("FROM a:1\nSHELL sh -c", 2, "dockerfile-json-form", "SHELL is not a JSON form"),
        ("FROM a:1\nSHELL [sh]", 2, "dockerfile-json-form", "SHELL is not valid JSON"),
        ("FROM a:1\nSHELL []", 2, "dockerfile-json-form", "SHELL is not a JSON form"),
        ("FROM a:1\nVOLUME [/x]", 2, "dockerfile-json-form", "VOLUME is not valid JSON"),
        ("FROM a:1\nHEALTHCHECK true", 2, "dockerfile-healthcheck", "neither NONE nor CMD"),
        ("FROM a:1\nHEALTHCHECK CMD", 2, "dockerfile-healthcheck", "neither NONE nor CMD"),
        ("FROM a:1\nHEALTHCHECK NONE x", 2, "dockerfile-healthcheck", "neither NONE nor CMD"),
        ('FROM a:1\nHEALTHCHECK CMD ["a" "b"]', 2, "dockerfile-healthcheck", "HEALTHCHECK is not valid JSON"),
        ("FROM a:1\nCOPY a", 2, "dockerfile-copy-target", "COPY has no target"),
        ("FROM a:1\nCOPY ../a /b", 2, "dockerfile-outside-context", "from outside"),
        ("FROM a:1\nCOPY a/../../b /b", 2, "dockerfile-outside-context", "from outside"),
        ("FROM a:1\nCOPY a\\*b /b", 2, "dockerfile-copy-path", "a backslash"),
        ('FROM a:1\nCOPY ["a\\\\b", "/b"]', 2, "dockerfile-copy-path", "a backslash"),
        ('FROM a:1\nCOPY ["a\\nb", "/b"]', 2, "dockerfile-copy-path", "empty or does not print"),
        ('FROM a:1\nCOPY ["", "/b"]', 2, "dockerfile-copy-path", "empty or does not print"),
        ("FROM a:1\nCOPY a[ /b", 2, "dockerfile-copy-pattern", "without an end"),
        ('FROM a:1\nCOPY "a /b', 2, "dockerfile-variable", "a double quote that is not closed"),
        ("FROM a:1\nCOPY $X /b", 2, "dockerfile-variable", "uses $X, which is not set here"),
        ("FROM a:1\nCOPY ${X:-a} /b", 2, "dockerfile-variable", "uses $X, which is not set here"),
        ("FROM a:1\nADD http://x/y /b", 2, "dockerfile-remote-source", "fetches from the network"),
        (
            "FROM a:1\nADD git@github.com:a/b.git /b",
            2,
            "dockerfile-remote-source",
            "fetches from the network",
        ),
        ("FROM a:1\nADD github.com/a/b.git /b", 2, "dockerfile-remote-source", "fetches from the network"),
        ("FROM a:1\nADD ftp://x/y /b", 2, "dockerfile-remote-source", "fetches from the network"),
        ("FROM a:1\nARG U=http\nADD $U://x/y /b", 3, "dockerfile-remote-source", "fetches from the network"),
        (
            'FROM a:1\nENV U=p://\nADD ["htt${U}x/y", "/b"]',
            3,
            "dockerfile-remote-source",
            "fetches from the network",
        ),
        ("FROM a:1\nENV A=${B", 2, "dockerfile-variable", "a form of ${B}"),
        ("FROM a:1\nWORKDIR /${B", 2, "dockerfile-variable", "WORKDIR has a form of ${B}"),
        ("FROM a:1\nUSER '1", 2, "dockerfile-variable", "USER has a single quote"),
        ("FROM a:1\nCOPY --chown=${B a /b", 2, "dockerfile-variable", "COPY has a form of ${B}"),
        ("FROM a:1\nCOPY a /${B", 2, "dockerfile-variable", "COPY has a form of ${B}"),
        ("FROM a:1\nENV A=${B:-x", 2, "dockerfile-variable", "no } that closes"),
        ("FROM a:1\nENV A=${B:?x}", 2, "dockerfile-variable", "a form of ${B}"),
        ("FROM a:1\nENV A=${B%x}", 2, "dockerfile-variable", "a form of ${B}"),
        ("FROM a:1\nENV A=$1", 2, "dockerfile-variable", "no variable"),
        ("FROM a:1\nENV A=${}", 2, "dockerfile-variable", "no variable"),
        ("FROM a:1\nENV A=$B\u00e9", 2, "dockerfile-variable", "not ASCII"),
        ("FROM a:1\nENV A='x", 2, "dockerfile-variable", "a single quote that is not closed"),
        ("FROM a:1\nENV A=1 B", 2, "dockerfile-pair", "a word without '='"),
        ("FROM a:1\nENV A", 2, "dockerfile-no-value", "ENV has no value"),
        ("FROM a:1\nLABEL A", 2, "dockerfile-no-value", "LABEL has no value"),
        ("FROM a:1\nENV =x", 2, "dockerfile-pair", "an empty name"),
        ("FROM a:1\nARG A-B=1", 2, "dockerfile-argument-name", "'A-B' is not a name"),
        ("FROM a:1\nARG $X=1", 2, "dockerfile-argument-name", "is not a name"),
        ("FROM a:1 AS 1a", 1, "dockerfile-stage-name", "the stage's name '1a' is not valid"),
        ("FROM a:1 AS b\nFROM a:1 AS B", 2, "dockerfile-stage-name", "is there already"),
        ("FROM a:1 AS scratch", 1, "dockerfile-stage-name", "is not valid, or is there already"),
        ("FROM a:1 b", 1, "dockerfile-from-form", "expected FROM image"),
        ("FROM a:1 A\u017f b", 1, "dockerfile-from-form", "expected FROM image"),
        ('FROM "a:1"', 1, "base-image", "a quote or a backslash"),
        ("FROM a\\:1", 1, "base-image", "a quote or a backslash"),
        ("FROM A:1", 1, "base-image", "is not the name of an image"),
        ("FROM ${X}", 1, "base-image", "is not the name of an image"),
        ("FROM " + "0" * 64, 1, "base-image", "is not the name of an image"),
        ("FROM sha256:" + "0" * 64, 1, "base-image", "is not the name of an image"),
        ("FROM --platform=$X a:1", 1, "base-image", "for the platform '$X'"),
        ("FROM --platform=windows/amd64 a:1", 1, "base-image", "for the platform"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, line: int, code: str, word: str) -> None:
    fault = refusal(text)
    assert (fault.code, fault.path, fault.row) == (code, "Dockerfile", line)
    assert fault.finding.hint
    # A code is of a kind of faults: the word is which of them.
    assert word in str(fault)
    assert str(fault).startswith(f"Dockerfile:{line}: ")
    assert "\n" not in str(fault)


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        ("RUN --mount=type=bind,from=b,target=/x true", "base-image"),
        ("RUN --mount=type=cache,target=/root/.cache/pip pip install x", "dockerfile-flag"),
        ("RUN --network=host true", "dockerfile-flag"),
        ('COPY --from="b" /a /b', "base-image"),
        ("COPY --chmod=755 a /b", "dockerfile-flag"),
    ],
)
def test_a_flag_is_of_a_base_image_if_it_takes_files_from_one(flag: str, code: str) -> None:
    assert refusal(f"FROM a:1\n{flag}\n").code == code


@pytest.mark.parametrize(
    "name", ["b", "python:3.11", "1", "here", "2", "01x", "-1", "+0", "late", "$X", "0000"]
)
def test_files_come_from_an_earlier_stage_alone(name: str) -> None:
    text = f"FROM a:1 AS first\nFROM a:1 AS here\nCOPY --from={name} /x /y\nFROM a:1 AS late\n"
    fault = refusal(text)
    assert (fault.row, fault.code) == (3, "base-image")


def test_stages_are_known_by_name_and_by_number() -> None:
    text = (
        "FROM a:1 AS One\nFROM a:1\nFROM ONE\nCOPY --from=ONE a b\nCOPY --from=1 --chown=1 a b\n"
        "COPY --from=000 a b"
    )
    assert written(text)[2:] == [
        "FROM one",
        'COPY --from=0 ["a", "b"]',
        'COPY --from=1 --chown=1 ["a", "b"]',
        'COPY --from=0 ["a", "b"]',
    ]
    assert len(read_recipe(text, {}).bases) == 2


def test_a_stage_gives_on_what_it_sets() -> None:
    text = (
        'FROM scratch AS a\nENV X=from-a\nARG Y=lost\nSHELL ["/s"]\nUSER 7\nCMD c\nFROM a\nCOPY $X /\nRUN r\n'
    )
    recipe = read_recipe(text, {})
    assert recipe.lines[-2:] == ('COPY ["from-a", "/"]', 'RUN ["/s", "r"]')
    assert (recipe.user, recipe.has_command) == ("7", True)
    assert refusal(text.replace("$X", "$Y")).row == 8


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("FROM python:3.11", {}, "python:3.11"),
        ("ARG B=python:3.11\nFROM $B", {"B": "given"}, "given"),
        ("ARG B=python:3.11\nFROM $B", {"C": "given"}, "python:3.11"),
        ("ARG C\nFROM ${C:-debian}", {}, "debian"),
        ("ARG C=\nFROM ${C:-debian}", {}, "debian"),
        ("ARG C=x\nFROM ${C:-debian}", {}, "x"),
        ("ARG C=x\nFROM ${C:+debian}", {}, "debian"),
        ("ARG C=x\nFROM a${C:+}", {}, "a"),
        ("ARG C\nFROM a${C:+b}", {}, "a"),
        ("ARG C\nFROM a${C:+b}", {"C": "y"}, "ab"),
        ("FROM ${X:-${Y:-deep}}", {}, "deep"),
        ("FROM a${HTTP_PROXY}", {}, "a"),
        ("ARG A=x\nARG B=${A}y\nARG C=$B:1\nFROM $C", {}, "xy:1"),
        ("ARG A=x\nARG B=${A}y\nFROM $B", {"A": "g"}, "gy"),
        # All values of one instruction are read before any of them is set.
        ("ARG A=x B=b$A\nFROM $B", {}, "b"),
        ("ARG A=x\nARG A\nFROM a$A", {}, "a"),
        ("ARG A='x'\"y\"\nFROM $A", {}, "xy"),
        # What a stage declares counts there alone.
        ("ARG A=x\nFROM b\nARG A=y\nENV A=z\nFROM $A", {}, "x"),
        ("FROM index.docker.io/b", {}, "b"),
    ],
)
def test_which_image_is_built_on(text: str, given: dict[str, str], expected: str) -> None:
    assert read_recipe(text, given).bases[-1].name == canonical_image(expected)


@pytest.mark.parametrize(
    ("steps", "given", "expected"),
    [
        ("ARG A=x\nCOPY $A /", {}, "x"),
        ("ARG A=x\nCOPY $A /", {"A": "g"}, "g"),
        ("ARG G\nCOPY $G /", {}, "global"),
        ("ARG G=own\nCOPY $G /", {}, "own"),
        ("ARG G=own\nARG G\nCOPY $G /", {}, "global"),
        # ENV counts before ARG, wherever it stands, and whatever is given.
        ("ENV A=e\nARG A=x\nCOPY $A /", {"A": "g"}, "e"),
        ("ARG A=x\nENV A=$A-e\nCOPY $A /", {}, "x-e"),
        ("ENV A=1 B=2\nENV A=3 B=$A\nCOPY $B /", {}, "1"),
        ('ENV A  two words\nCOPY ["$A", "/"]', {}, "two words"),
        ("ENV A=a\\ b\nCOPY ['x', '/']".replace("['x', '/']", '["$A", "/"]'), {}, "a b"),
        ("ARG A=a\nCOPY ${A:+${A}b}c /", {}, "abc"),
        ("ARG A\nCOPY x${A:-.txt} /", {"A": ""}, "x.txt"),
        ("ENV KNOWN=mine\nCOPY $KNOWN /", {}, "mine"),
        ("ARG KNOWN=argument\nCOPY $KNOWN /", {"KNOWN": "g"}, "base"),
        ("COPY $KNOWN /", {}, "base"),
    ],
)
def test_which_files_are_copied(steps: str, given: dict[str, str], expected: str) -> None:
    configs = {"docker.io/library/b:1": BaseConfig({"KNOWN": "base"}, ("/bin/bash", "-c"))}
    recipe = read_recipe(f"ARG G=global\nFROM b:1\n{steps}\nRUN x", given, configs)
    assert recipe.copies[-1].sources == (expected,)
    assert recipe.lines[-1] == 'RUN ["/bin/bash", "-c", "x"]'


def test_the_shell_of_a_base_that_nobody_knows_is_left_to_the_engine() -> None:
    assert written("FROM b:1\nRUN x  y\nCMD z")[1:] == ["RUN x  y", "CMD z"]


def test_a_value_that_grows_is_refused_before_the_engine_makes_it() -> None:
    chain = "".join(f"ARG A{n}=${{A{n - 1}}}${{A{n - 1}}}\n" for n in range(1, 30))
    as_arguments = f"ARG A0=0123456789\n{chain}"
    for text in (f"{as_arguments}FROM a:1", f"FROM a:1\n{as_arguments}".replace("ARG", "ENV")):
        fault = refusal(text)
        assert fault.code == "dockerfile-variable"
        assert "grows" in fault.finding.message
    values = "".join(f"ENV A{n}={'x' * 10_000}\n" for n in range(4))
    assert "grows the environment" in refusal(f"FROM a:1\n{values}").finding.message
    assert refusal("FROM a:1\nENV A=" + "${A:-" * 9 + "x" + "}" * 9).finding.message.endswith(
        "inside of one another"
    )
    assert written("FROM a:1\nENV A=" + "${A:-" * 8 + "x" + "}" * 8)


def test_limits_at_their_edges() -> None:
    assert (MAX_BYTES, MAX_INSTRUCTIONS) == (65_536, 500)
    assert len(parse_dockerfile("USER 1\n" * MAX_INSTRUCTIONS)) == MAX_INSTRUCTIONS
    assert refusal("USER 1\n" * (MAX_INSTRUCTIONS + 1)).row == MAX_INSTRUCTIONS + 1
    text = "FROM a:1\nRUN "
    assert parse_dockerfile(text + "x" * (MAX_BYTES - len(text)))
    large = refusal(text + "x" * (MAX_BYTES - len(text) + 1))
    assert (large.code, "64 KB" in large.finding.message) == ("dockerfile-size", True)
    # The engine reads no line of 64 KB, which this one is when it is written again.
    assert refusal("FROM scratch\nRUN " + '"' * 40_000).code == "dockerfile-instruction-size"


def test_a_time_that_grows_with_the_length_alone() -> None:
    """Whatever is nested, repeated or left open: no case takes a tenth of what squares would."""
    units = [
        "COPY --a=b ",
        "\\\n",
        "${A:-",
        "$A",
        "'",
        '"',
        "[",
        "<<E ",
        "# c\n\\\n",
        "ENV A=1\n",
        "a b ",
        "*",
        "[a",
    ]
    began = time.process_time()
    for unit, head in itertools.product(units, ["", "FROM a:1\nCOPY ", "FROM a:1\nENV A=", "FROM a:1\nRUN "]):
        text = (head + unit * (60_000 // len(unit)))[:MAX_BYTES]
        with contextlib.suppress(DockerfileError):
            read_recipe(text, {})
    assert time.process_time() - began < 30


def test_no_text_is_a_traceback() -> None:
    """Random characters, and real files with random characters in them: read, or refused in one line."""
    rng = random.Random(5)
    pieces = [
        "FROM ",
        "a:1",
        "COPY ",
        "RUN ",
        "ARG ",
        "ENV ",
        "A",
        "--from=",
        "\\",
        "\n",
        "\r",
        " ",
        "\t",
        '"',
        "'",
        "$",
        "{",
        "}",
        "[",
        "]",
        "=",
        ":-",
        ":+",
        "<<",
        "#",
    ]
    pieces += ["\u00a0", "\ufeff", "\ud800", "\U0001f600", "\0"]
    real = [
        (PROJECT_ROOT / name / "Dockerfile").read_text() for name in ("bundle_training", "scoring_program")
    ]
    read = 0
    for number in range(4000):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 40)))
        if number % 2:
            whole = real[number // 2 % 2]
            at = rng.randrange(len(whole))
            text = whole[:at] + text[:3] + whole[at:]
        lines, refused = read_or_refused(text)
        read += not refused
        assert refused.count("\n") == 0
        assert not any(line.startswith("ADD") or "\n" in line for line in lines)
    assert read > 100


def read_or_refused(text: str) -> tuple[tuple[str, ...], str]:
    """The lines that are written of a text; else why it is refused."""
    try:
        return read_recipe(text, {"BASE_IMAGE": "x:1"}).lines, ""
    except DockerfileError as fault:
        return (), str(fault)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.11", "docker.io/library/python:3.11"),
        ("library/python:3.11", "docker.io/library/python:3.11"),
        ("docker.io/python:3.11", "docker.io/library/python:3.11"),
        ("index.docker.io/library/python:3.11", "docker.io/library/python:3.11"),
        ("a/b", "docker.io/a/b:latest"),
        ("a/b/c:1", "docker.io/a/b/c:1"),
        ("localhost/a", "localhost/a:latest"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
        ("ghcr.io/a/b:c", "ghcr.io/a/b:c"),
        ("Host/a", "Host/a:latest"),
        ("a_b__c-d.e:V-1_2.x", "docker.io/library/a_b__c-d.e:V-1_2.x"),
        ("x@sha256:" + "a" * 64, "docker.io/library/x@sha256:" + "a" * 64),
        ("x:1@sha256:" + "a" * 64, "docker.io/library/x@sha256:" + "a" * 64),
        ("a" * 65, f"docker.io/library/{'a' * 65}:latest"),
        ("a:" + "b" * 128, f"docker.io/library/a:{'b' * 128}"),
        ("a:" + "b" * 129, None),
        ("a" * 64, None),
        ("sha256:" + "a" * 64, None),
        ("x@sha256:" + "a" * 63, None),
        ("x@md5:" + "a" * 32, None),
        ("Python", None),
        ("a/B", None),
        ("a:", None),
        ("a b", None),
        ("a--b", "docker.io/library/a--b:latest"),
        ("a___b", None),
        ("-a", None),
        ("a\n", None),
        ("", None),
        ("a//b", None),
        ("a" * 256, None),
    ],
)
def test_names_of_images(name: str, expected: str | None) -> None:
    assert canonical_image(name) == expected


def test_project_files_are_not_changed_by_being_written(tmp_path: Path) -> None:
    """What Docker's reference shows as comments and blank lines goes; each instruction stays."""
    text = (PROJECT_ROOT / "bundle_inference" / "Dockerfile").read_text()
    names = [instruction.name for instruction in parse_dockerfile(text)]
    assert [line.split()[0] for line in written(text)] == names


@pytest.mark.parametrize(
    ("name", "listed", "given", "allowed"),
    [
        ("docker.io/library/a:1", (), "", True),
        ("docker.io/library/a:1", ("a:1",), "", True),
        ("docker.io/library/a:1", ("b:1", "docker.io/a:1"), "", True),
        ("docker.io/library/a:1", ("a:2",), "", False),
        ("docker.io/library/a:1", ("a:2",), "a:1", True),
        ("docker.io/library/a:1", ("a",), "b", False),
    ],
)
def test_a_challenge_lists_base_images_and_always_allows_its_own(
    name: str, listed: tuple[str, ...], given: str, allowed: bool
) -> None:
    assert is_allowed(name, listed, given) is allowed
