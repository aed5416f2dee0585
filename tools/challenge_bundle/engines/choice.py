"""From `auto`, `docker` or `local` to a runner."""

import os
from pathlib import Path

from challenge_bundle.engines.base import Runner
from challenge_bundle.errors import UnavailableError


def choose_runner(name: str, gpus: str, wheelhouse: Path | None) -> tuple[Runner, str]:
    """Make a runner.

    Args:
        name: `auto`, `docker` or `local`; `auto` takes Docker when an engine answers, else `local`.
        gpus: What containers get: `auto`, `none` or `all`.
        wheelhouse: Where images are built from without a network; None fetches.

    Returns:
        (the runner, a sentence that says which it is and why)

    Raises:
        UnavailableError: `docker`, or an engine named in the environment, and none answers.
    """
    from challenge_bundle.engines.docker.engine import DockerRunner
    from challenge_bundle.engines.local import LocalRunner

    if name == "local":
        return LocalRunner(), "local: plain processes, for your own code only"
    try:
        runner = DockerRunner.connect(gpus, wheelhouse)
    except UnavailableError as fault:
        # Who named an engine does not want to run without one.
        if name == "docker" or "DOCKER_HOST" in os.environ or "DOCKER_CONTEXT" in os.environ:
            raise
        return LocalRunner(), f"local: plain processes, for your own code only ({fault})"
    return runner, f"docker: {runner.engine}"
