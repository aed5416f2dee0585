"""What tests of metrics share: the modules that they are of."""

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture
def metrics(program_module: Callable[[str, str], ModuleType]) -> ModuleType:
    """The registry of metrics; a module may have another one."""
    return program_module("scoring_program", "metrics")


@pytest.fixture
def cases_module(program_module: Callable[[str, str], ModuleType]) -> ModuleType:
    """What a case is."""
    return program_module("scoring_program", "cases")
