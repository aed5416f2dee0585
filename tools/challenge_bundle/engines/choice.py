"""From `auto`, `docker` or `local` to an engine: the one place that knows which there are."""

import os
from pathlib import Path

from challenge_bundle.engines.base import Engine
from challenge_bundle.errors import UnavailableError

ISOLATED = "Docker Engine"
"""What `connect_isolated` looks for, for people."""

START_HINT = "start Docker to run the programs as containers; without it they run as plain processes"
FETCH_HINT = "bring the base image to the engine: `docker pull {base}` (or docker save, docker load)"
"""Where an image named `base` is missing."""


def choose_engine(name: str, gpus: str, wheelhouse: Path | None) -> tuple[Engine, str]:
    """Make an engine for one's own programs.

    Args:
        name: `auto`, `docker` or `local`; `auto` takes Docker when an engine answers, else `local`.
        gpus: What containers get: `auto`, `none` or `all`.
        wheelhouse: Where images are built from without a network; None fetches.

    Returns:
        (the engine, a sentence that names it and the reason)

    Raises:
        UnavailableError: `docker`, or an engine named in the environment, and none answers.
    """
    from challenge_bundle.engines.local import LocalEngine

    if name == "local":
        return LocalEngine(), "local: plain processes, for your own code only"
    try:
        engine = connect_isolated(gpus, wheelhouse)
    except UnavailableError as fault:
        # Who named an engine does not want to run without one.
        if name == "docker" or "DOCKER_HOST" in os.environ or "DOCKER_CONTEXT" in os.environ:
            raise
        return LocalEngine(), f"local: plain processes, for your own code only ({fault})"
    return engine, f"{engine.name}: {engine.description}"


def connect_isolated(gpus: str = "auto", wheelhouse: Path | None = None) -> Engine:
    """Connect to an engine that may run a participant's code.

    Args:
        gpus: What containers get: `auto`, `none` or `all`.
        wheelhouse: Where images are built from without a network; None fetches.

    Raises:
        UnavailableError: None answers.
    """
    from challenge_bundle.engines.docker.engine import DockerEngine

    return DockerEngine.connect(gpus, wheelhouse)
