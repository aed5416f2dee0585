"""Whether the engine or a submission is at fault: the engine is tried on the organiser's own image."""

from challenge_bundle.engines.base import Engine
from challenge_bundle.engines.output_lines import printable
from challenge_bundle.errors import BundleError
from challenge_bundle.evaluation.context import Context
from challenge_bundle.runs.programs import SCORING, build_image


def is_well(context: Context, engine: Engine) -> bool:
    """Whether there is room, and the engine builds and runs something of the organiser's own.

    Args:
        context: Where submissions are evaluated.
        engine: Speaks to the engine.
    """
    if not engine.has_room(context.layout.evaluation):
        return False
    try:
        image = build_image(engine, SCORING, context.bundle, context.layout, lambda line: None)
        return engine.works(image)
    except (BundleError, OSError):
        return False


def one_line(fault: Exception) -> str:
    """A fault as one line for the organiser."""
    return printable(" ".join(str(fault).split())) or type(fault).__name__
