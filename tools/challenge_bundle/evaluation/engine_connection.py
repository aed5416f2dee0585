"""How submissions are run: on an engine that may run other people's code, from wheels without a network."""

import functools
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from challenge_bundle.engines.choice import connect_isolated
from challenge_bundle.evaluation.context import Connect
from challenge_bundle.layout import Layout
from challenge_bundle.runs.programs import Program
from challenge_bundle.settings import Bundle
from challenge_bundle.wheelhouse import give_wheels


def connector(
    bundle: Bundle,
    layout: Layout,
    wheelhouse: Path | None,
    programs: Sequence[Program],
    notify: Callable[[str], None],
) -> Connect:
    """Prepare what submissions are run on: wheels are downloaded where their builds have no network.

    Args:
        bundle: The manifest.
        layout: Its paths.
        wheelhouse: Named by the organiser; None takes the bundle's own.
        programs: Whose wheels are needed; inference's are those of submissions.
        notify: Gets a line for what is downloaded.

    Returns:
        What makes a connection to the engine.

    Raises:
        UnavailableError: No engine answers.
    """
    with closing(connect_isolated("none", wheelhouse)) as engine:
        if wheelhouse or not bundle.evaluation.build_network:
            give_wheels(engine, programs, bundle, layout, notify, for_submissions=True)
        return functools.partial(connect_isolated, "none", engine.wheelhouse)
