"""What tests of evaluations share: a small bundle with classes, and its records."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from challenge_bundle.evaluation.context import Context
from challenge_bundle.evaluation.records import Records
from tests.evaluations import make_context, open_records
from tests.worlds import World


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A bundle whose submissions can be scored; a module may have another one."""
    return make_context(tmp_path / "bundle")


@pytest.fixture
def records(context: Context) -> Iterator[Records]:
    """The records of that bundle, or of the module's own."""
    with closing(open_records(context)) as opened:
        yield opened


@pytest.fixture
def world(context: Context, tmp_path: Path) -> World:
    """An engine that runs submissions of that bundle as real processes."""
    return World(context, tmp_path / "engine")
