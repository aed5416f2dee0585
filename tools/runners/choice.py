"""From `auto`, `docker` or `local` to a runner."""

from tools.errors import UnavailableError
from tools.runners.base import Runner

RUNNER_NAMES = ("auto", "docker", "local")


def choose_runner(name: str) -> tuple[Runner, str]:
    """Make a runner.

    Args:
        name: One of RUNNER_NAMES; `auto` takes Docker when an engine answers, else `local`.

    Returns:
        (the runner, a sentence that says which it is and why)

    Raises:
        UnavailableError: `docker`, and no engine answers.
    """
    from tools.runners.docker import DockerRunner
    from tools.runners.local import LocalRunner

    if name == "local":
        return LocalRunner(), "local: plain processes, for your own code only"
    try:
        runner = DockerRunner.connect()
    except UnavailableError as fault:
        if name == "docker":
            raise
        return LocalRunner(), f"local: plain processes, for your own code only ({fault})"
    return runner, f"docker: {runner.engine}"
