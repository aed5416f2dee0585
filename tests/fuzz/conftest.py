"""Rounds of made-up input, each from a seed of its own that a failure names."""

import random
import time
from collections.abc import Callable, Iterator

import pytest

Rounds = Callable[[], Iterator[random.Random]]


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Iterator[Rounds]:
    """Gives a random generator a round until the time is over; a seed has the same ones in the same order."""
    seconds = request.config.getoption("--fuzz-seconds")
    seed = request.config.getoption("--fuzz-seed")
    last = ""

    def give() -> Iterator[random.Random]:
        nonlocal last
        end = time.monotonic() + seconds
        number = 0
        while number == 0 or time.monotonic() < end:
            last = f"{request.node.name}/{seed}/{number}"
            yield random.Random(last)
            number += 1

    yield give
    # Shown by pytest where the test fails.
    print(f"the last round is made by random.Random({last!r})")
