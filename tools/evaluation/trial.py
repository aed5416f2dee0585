"""Whose fault it is: what all submissions need is tried on something harmless."""

import shutil

from tools.errors import BundleError
from tools.evaluation.site import Site
from tools.programs import SCORING, plan_run
from tools.runners.base import printable
from tools.runners.docker import DockerRunner
from tools.runners.watching import RESERVE_BYTES


def is_well(site: Site, runner: DockerRunner) -> bool:
    """Tell whether there is room, and the engine builds and runs something of the organiser's own.

    Args:
        site: Where submissions are evaluated.
        runner: Speaks to the engine.
    """
    if shutil.disk_usage(site.layout.evaluation).free < RESERVE_BYTES:
        return False
    try:
        image = runner.build(plan_run(SCORING, site.bundle, site.layout, ()), lambda line: None)
        return runner.is_well(image)
    except (BundleError, OSError):
        return False


def one_line(fault: Exception) -> str:
    """A fault as one line for the organiser."""
    return printable(" ".join(str(fault).split())) or type(fault).__name__
