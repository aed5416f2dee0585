"""Made-up Dockerfiles: what the engine gets of them is what they say, or they are refused."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from challenge_bundle.engines.base import BuildSpec
from challenge_bundle.engines.docker.engine import DockerEngine
from challenge_bundle.engines.docker.images import prepare_build
from challenge_bundle.errors import DataError
from challenge_bundle.formats.build_recipe import read_recipe
from challenge_bundle.formats.dockerfile import DockerfileError, parse_dockerfile
from tests.conftest import BASE_IMAGE
from tests.fuzz.conftest import Rounds
from tests.fuzz.dockerfiles import (
    KINDS,
    OTHER,
    TINY,
    build_original,
    build_written,
    describe,
    make_bases,
    make_case,
    plan_of,
)

TAGS = ("challenge-fuzz:original", "challenge-fuzz:written")


@pytest.fixture(scope="module")
def builder(engine: DockerEngine) -> Iterator[DockerEngine]:
    """The engine, with two small base images."""
    make_bases(engine, BASE_IMAGE)
    yield engine
    for name in (OTHER, TINY):
        engine.forget(name)


@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_makes_the_same_of_both(
    kind: str, builder: DockerEngine, rounds: Rounds, tmp_path: Path
) -> None:
    """The original is built without a network, from a folder of made-up files alone."""
    built = 0
    for number, rng in enumerate(rounds()):
        case = make_case(rng, kind)
        folder = tmp_path / str(number)
        folder.mkdir()
        case.write(folder)
        plan = _planned(builder, folder)
        if plan is None:
            continue
        try:
            errors = build_original(folder, TAGS[0]), build_written(builder, plan, TAGS[1])
            assert bool(errors[0]) == bool(errors[1]), (case, errors)
            if not errors[0]:
                assert describe(builder, TAGS[1]) == describe(builder, TAGS[0]), case
                built += 1
        finally:
            for tag in TAGS:
                builder.forget(tag)
    assert built or kind.startswith("odd")


def _planned(builder: DockerEngine, folder: Path) -> BuildSpec | None:
    """The plan of a submission; None if it is refused."""
    try:
        plan = plan_of(builder, folder)
        prepare_build(plan, None)
    except DataError:
        return None
    return plan


def test_any_text_is_read_or_refused_in_a_line(rounds: Rounds) -> None:
    read = 0
    for rng in rounds():
        text = make_case(rng, rng.choice(KINDS)).dockerfile
        if rng.random() < 0.3:
            text = "".join(rng.choices(text + "\ud800\0\u2028", k=rng.randint(0, 300)))
        lines, refused = _read(text, rng)
        read += not refused
        assert refused.count("\n") == 0
        assert not refused or refused.startswith("Dockerfile:")
        # What is written has one form, which says the same when it is read once more.
        if lines:
            written = "\n".join(lines)
            assert all(line == line.strip() and not line.startswith("ADD ") for line in lines)
            assert len(parse_dockerfile(written)) == len(lines)
            assert read_recipe(written, {}).lines == lines
    assert read


def _read(text: str, rng: random.Random) -> tuple[tuple[str, ...], str]:
    given = {"A": "given"} if rng.random() < 0.2 else {}
    lines: tuple[str, ...] = ()
    refused = ""
    try:
        lines = read_recipe(text, given).lines
    except DockerfileError as fault:
        refused = str(fault)
    with contextlib.suppress(DockerfileError):
        parse_dockerfile(text)
    return lines, refused
