"""What tests of evaluations share: a small bundle with classes, and its records."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.evaluations import make_site, open_records
from tools.evaluation.records import Records
from tools.evaluation.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A bundle whose submissions can be scored; a module may have another one."""
    return make_site(tmp_path / "bundle")


@pytest.fixture
def records(site: Site) -> Iterator[Records]:
    """The records of that bundle, or of the module's own."""
    with closing(open_records(site)) as opened:
        yield opened
