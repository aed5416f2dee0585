"""What is built of a submission's Dockerfile, and what an engine's error says of whose fault it is."""

from types import SimpleNamespace

import pytest

from challenge_bundle.engines.base import BuildLimits, BuildOutcome
from challenge_bundle.engines.docker.api import reports_full_disk
from challenge_bundle.engines.docker.cleanup import BUILD_LABEL
from challenge_bundle.engines.docker.images import label_stages
from challenge_bundle.engines.docker.submission_build import _follow, _judge
from challenge_bundle.errors import UnavailableError
from challenge_bundle.formats.build_recipe import read_recipe
from challenge_bundle.formats.dockerfile import parse_dockerfile

LIMITS = BuildLimits(time_s=7, memory_mb=1, image_mb=9)


def test_each_stage_bears_the_label_and_no_other() -> None:
    text = """\
# a comment

ARG BASE=python:3.11-slim
FROM ${BASE} AS one
LABEL a=b \\
  challenge-bundle.build=other
RUN echo 1 && \\
    echo FROM nothing
from ${BASE}
COPY --from=one /x /x
label c="d"
CMD ["python3"]"""
    labelled = label_stages(read_recipe(text, {}), {BUILD_LABEL: "n1", "b": "c"})
    assert labelled == (
        "ARG BASE=python:3.11-slim\n"
        "FROM docker.io/library/python:3.11-slim AS one\nLABEL challenge-bundle.build=n1 b=c\n"
        "RUN echo 1 &&     echo FROM nothing\n"
        "FROM docker.io/library/python:3.11-slim\nLABEL challenge-bundle.build=n1 b=c\n"
        'COPY --from=0 ["/x", "/x"]\nCMD ["python3"]\n'
    )
    names = [instruction.name for instruction in parse_dockerfile(labelled)]
    assert names == ["ARG", "FROM", "LABEL", "RUN", "FROM", "LABEL", "COPY", "CMD"]


@pytest.mark.parametrize(
    ("error", "lacks_base", "is_doubtful"),
    [
        ("The command '/bin/sh -c false' returned a non-zero code: 1", False, False),
        ("The command '/bin/sh -c x' returned a non-zero code: 137", False, True),
        ("The command '/bin/sh -c x' returned a non-zero code: 143", False, True),
        # The command is the participant's text, of several lines too.
        ("The command '/bin/sh -c pull access denied\n' returned a non-zero code: 2", False, False),
        ("The command '/bin/sh -c no space left on device' returned a non-zero code: 2", False, False),
        ("COPY failed: file not found in build context: stat zzz: file does not exist", False, False),
        ("pull access denied for nosuch, repository does not exist", True, True),
        ('Get "https://registry-1.docker.io/v2/": dial tcp: lookup x: no such host', True, True),
        ("unknown parent image ID sha256:123", False, True),
        ("layer does not exist", False, True),
        ("manifest for python:9 not found: manifest unknown: manifest unknown", True, True),
        ("No such image: python:9", True, True),
        # Names in what the engine says are the participant's text.
        ("mkdir /var/lib/docker/x/etc/passwd/no space left on device: not a directory", False, True),
        ("Cannot mkdir: /etc/passwd/manifest not found lookup registry is not a directory", False, True),
        ('OCI runtime create failed: exec: "no": executable file not found in $PATH: unknown', False, True),
    ],
)
def test_whose_fault_an_error_is(error: str, lacks_base: bool, is_doubtful: bool) -> None:
    outcome = judged(error)
    assert outcome is not None
    assert (outcome.error, outcome.lacks_base, outcome.is_doubtful) == (error, lacks_base, is_doubtful)


def judged(error: str, *limits: str) -> BuildOutcome | None:
    return _judge(None, LIMITS, None, limits, error, ("a line",), "n1")


def test_a_limit_comes_before_the_error_that_it_brought_about() -> None:
    assert judged("The command 'x' returned a non-zero code: 137", "time") == BuildOutcome(
        limit="time", allowed=7, last_lines=("a line",)
    )
    assert judged("", "") is None


@pytest.mark.parametrize(
    "error",
    [
        "write /var/lib/docker/tmp/x: no space left on device",
        "OCI runtime create failed: mkdir /x: no space left on device: unknown",
    ],
)
def test_a_full_disk_is_what_the_engine_ends_with(error: str) -> None:
    assert reports_full_disk(error)
    assert not reports_full_disk(f"{error}/x: not a directory")
    client = SimpleNamespace(api=SimpleNamespace(images=lambda all: []))
    with pytest.raises(UnavailableError, match="short of room"):
        _judge(client, LIMITS, None, (), error, (), "n1")  # type: ignore[arg-type]


def test_lines_of_the_engine_are_left_out_and_nothing_is_read_from_them() -> None:
    messages = [
        {"stream": "Step 1/3 : FROM python:3.11-slim\n"},
        {"stream": " ---> a1787c04c824\n"},
        {"stream": "Step 2/3 : LABEL challenge-bundle.owner=o challenge-bundle.build=n1\n"},
        {"stream": "Step 3/3 : RUN true\n"},
        {"stream": " ---> Running in 0123456789ab\nfrom the program\n\n"},
        {"stream": "Removing intermediate container 0123456789ab\n"},
        {"error": "first \n"},
        {"error": "second"},
    ]
    said: list[str] = []
    shown: list[str] = []
    assert _follow(messages, said, shown.append) == "first"
    assert said == ["Step 1/3 : FROM python:3.11-slim", "Step 3/3 : RUN true", "from the program"]
    assert len(shown) == 7
