"""Whose fault it is: what all submissions need is tried on something harmless."""

import shutil

from challenge_bundle.engines.base import printable
from challenge_bundle.engines.docker.engine import DockerRunner
from challenge_bundle.engines.docker.watchdog import RESERVE_BYTES
from challenge_bundle.errors import BundleError
from challenge_bundle.evaluation.context import Context
from challenge_bundle.runs.programs import SCORING, plan_run


def is_well(context: Context, runner: DockerRunner) -> bool:
    """Tell whether there is room, and the engine builds and runs something of the organiser's own.

    Args:
        context: Where submissions are evaluated.
        runner: Speaks to the engine.
    """
    if shutil.disk_usage(context.layout.evaluation).free < RESERVE_BYTES:
        return False
    try:
        image = runner.build(plan_run(SCORING, context.bundle, context.layout, ()), lambda line: None)
        return runner.is_well(image)
    except (BundleError, OSError):
        return False


def one_line(fault: Exception) -> str:
    """A fault as one line for the organiser."""
    return printable(" ".join(str(fault).split())) or type(fault).__name__
