"""Programs in containers: no network, no rights, one writable folder, limits held from outside."""

import contextlib
import io
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from challenge_bundle.engines.base import OnLine, Outcome, ProgramRun
from challenge_bundle.engines.build_context import context_files
from challenge_bundle.engines.docker.api import engine_address, knock, root_cause, speaking
from challenge_bundle.engines.docker.base_images import (
    FoundImage,
    bears_name,
    read_image,
    run_python,
    tagged_python,
)
from challenge_bundle.engines.docker.cleanup import BUILD_LABEL, left_builds, remove_layers
from challenge_bundle.engines.docker.container import (
    KEY_LABEL,
    OWNER_LABEL,
    PROGRAM_LABEL,
    Host,
    container_config,
    read_host,
)
from challenge_bundle.engines.docker.images import ImagePlan, build_image
from challenge_bundle.engines.docker.submission_build import BuildOutcome, build_foreign_image, forget_build
from challenge_bundle.engines.docker.watchdog import RESERVE_BYTES, follow, watchdog_of
from challenge_bundle.errors import BundleError, ProgramError, UnavailableError
from challenge_bundle.lock import file_lock
from challenge_bundle.settings import EvaluationSettings

if TYPE_CHECKING:
    import docker
    from docker.models.images import Image

SUBMISSION = "submission"

_NO_NETWORK = re.compile(
    "No matching distribution|Could not find a version|Max retries|name resolution|Network is unreachable"
    "|[Ff]ailed to fetch|dns error|certificate verify failed|Connection refused|timed out"
)
"""What pip and uv print where no package index can be reached."""


class DockerRunner:
    """Runs a program in a container of its own image; use `connect` to make one.

    Args:
        client: Speaks to the engine.
        engine: What the engine is, for messages.
        host: What its machine gives.
        wheelhouse: See build_image.
        address: Where the engine answers.
    """

    name = "docker"

    def __init__(
        self,
        client: "docker.DockerClient",
        engine: str,
        host: Host,
        wheelhouse: Path | None,
        address: str = "",
    ) -> None:
        self.client = client
        self.engine = engine
        self.host = host
        self.wheelhouse = wheelhouse
        self.get_wheels: Callable[[str, OnLine], bool] = lambda program, on_line: False
        """Fills the wheelhouse for a program whose build has no network; tells whether it could."""
        self.address = address
        self.reserve_bytes = RESERVE_BYTES

    @classmethod
    def connect(cls, gpus: str = "auto", wheelhouse: Path | None = None) -> "DockerRunner":
        """Find the engine: DOCKER_HOST, else the docker command's current context, else Podman's socket.

        Args:
            gpus: `auto` (if the engine has NVIDIA's runtime), `none` or `all`.
            wheelhouse: See build_image.

        Raises:
            UnavailableError: None answers, or the docker package is not installed.
        """
        try:
            import docker
        except ImportError:
            raise UnavailableError("the docker package is not installed; run `make install`") from None
        where = "any context"
        try:
            address = engine_address()
            where = str(address["base_url"])
            knock(where)
            client = docker.DockerClient(**address)
            info = client.info()
        except Exception as fault:  # a broken context file raises a bare Exception there
            raise UnavailableError(
                f"no Docker Engine answers at {where} ({root_cause(fault)}); start it, correct DOCKER_HOST"
                " or DOCKER_CONTEXT if you set them, or use --runner local for your own code"
            ) from None
        name = f"Engine {info.get('ServerVersion', '?')}"
        return cls(client, name, read_host(info, gpus), wheelhouse, where)

    def run(self, run: ProgramRun, on_line: OnLine) -> Outcome:
        """Build the image if its content changed, then run it; see Runner."""
        self.sweep(run.owner)
        return self.run_image(run, self.build(run, on_line), on_line)

    def run_image(self, run: ProgramRun, image: str, on_line: OnLine) -> Outcome:
        """Run an image that is there.

        Args:
            run: What it gets; its Dockerfile and context are not looked at.
            image: Its name.
            on_line: Told of each line that it prints.

        Raises:
            ProgramError: The engine refuses to start it.
            UnavailableError: The engine went away.
        """
        if run.key:
            # What an engine that went away for a while has kept on running.
            self.sweep(run.owner, run.key)
        if os.name == "posix" and os.geteuid() == 0:
            os.chown(run.output_dir, *map(int, self.host.user.split(":")))
        watchdog = watchdog_of(self.address)
        with speaking(f"{run.name} cannot be run"):
            container = self.client.containers.create(**container_config(run, image, self.host))
            try:
                return follow(container, run, self.reserve_bytes, watchdog, on_line)
            finally:
                with contextlib.suppress(Exception):  # the next start finds by its label what is left here
                    container.remove(force=True, v=True)

    def build(self, run: ProgramRun, on_line: OnLine) -> str:
        """Make the image of a program, unless one of the same content is there.

        Returns:
            Its full name.

        Raises:
            ProgramError: The build failed.
            UnavailableError: The engine went away.
            DataError: The Dockerfile, a file that it copies or the program's wheels are not there.
        """
        plan = self._plan(run)
        on_line(f"image {plan.tag}")
        started = time.monotonic()
        with speaking(f"the image {plan.name} cannot be built"):
            labels = {OWNER_LABEL: run.owner, PROGRAM_LABEL: run.name}
            with file_lock(_builds_lock()):
                tag, built = self._build(plan, labels, run.name, on_line)
                if built:
                    self._forget_older_images(tag, labels)
        on_line(f"built in {time.monotonic() - started:.1f} s" if built else "unchanged, not built again")
        return tag

    def _build(
        self, plan: ImagePlan, labels: Mapping[str, str], program: str, on_line: OnLine
    ) -> tuple[str, bool]:
        """Build from wheels if there are any, else by the network, else from wheels that are got for it."""
        try:
            return build_image(self.client, plan, self._wheels(plan.folder), labels, on_line)
        except ProgramError as fault:
            lacks_network = any(_NO_NETWORK.search(line) for line in fault.details)
            if self._wheels(plan.folder) or not lacks_network or not self.get_wheels(program, on_line):
                raise
        return build_image(self.client, plan, self._wheels(plan.folder), labels, on_line)

    def _wheels(self, folder: str) -> Path | None:
        """The wheelhouse, if it holds wheels for a program."""
        house = self.wheelhouse
        return house if house and any((house / folder).glob("*.whl")) else None

    def is_built(self, run: ProgramRun) -> bool:
        """Tell whether the image of a program as it is now is there.

        Raises:
            UnavailableError: The engine went away.
            DataError: The Dockerfile or a file that it copies is not there.
        """
        return bool(self.image_id(self._plan(run).tag))

    def _plan(self, run: ProgramRun) -> ImagePlan:
        return ImagePlan(
            name=f"{run.image_name}-{run.name}",
            folder=run.program_dir.name,
            files=context_files(run.dockerfile, run.context, run.program_dir),
            base_image=run.base_image,
            torch_backend="" if self.host.gives_gpu else "cpu",
        )

    def build_foreign(
        self, plan: ImagePlan, owner: str, key: str, settings: EvaluationSettings, on_line: OnLine
    ) -> BuildOutcome:
        """Build a stranger's image; see build_foreign_image.

        Args:
            plan: What it is built from.
            owner: The bundle; see ProgramRun.
            key: Of the submission, which is built at most once at a time.
            settings: Give the limits.
            on_line: Told of each line.

        Raises:
            RefusedError: The engine does not take the build, as for an instruction that it does not know.
            UnavailableError: The engine went away, or its disk is short of room.
        """
        labels = {OWNER_LABEL: owner, PROGRAM_LABEL: SUBMISSION, KEY_LABEL: key}
        room, watchdog = self.host.images_dir, watchdog_of(self.address)
        with speaking("the image cannot be built"):
            return build_foreign_image(
                self.client, plan, self._wheels(plan.folder), labels, settings, room, watchdog, on_line
            )

    def is_well(self, image: str = "") -> bool:
        """Tell whether the engine does something harmless, so that what it failed at is to blame.

        Args:
            image: One that is there; a container of it is started. Empty leaves that out.
        """
        import docker

        room = self.host.images_dir
        try:
            with speaking("a trial"):
                if room is not None and shutil.disk_usage(room).free < self.reserve_bytes:
                    return False
                context = f"FROM scratch\nLABEL {BUILD_LABEL}={uuid.uuid4().hex}\n"
                built, _ = self.client.images.build(
                    fileobj=io.BytesIO(context.encode()), nocache=True, rm=True
                )
                self.client.images.remove(str(built.id))
                if image:
                    self.client.containers.run(
                        image, entrypoint=["true"], network_mode="none", read_only=True, remove=True
                    )
        except (BundleError, docker.errors.DockerException):
            return False
        return True

    def left_builds(self, owner: str) -> dict[str, dict[str, bool]]:
        """The builds of a bundle's submissions of which the engine holds anything.

        Args:
            owner: The bundle; see ProgramRun.

        Returns:
            By the submission's key, then by build: whether it was finished, so that its image has a name.

        Raises:
            UnavailableError: The engine went away.
        """
        with speaking("images of an earlier run cannot be listed"):
            return left_builds(self.client.api.images(all=True), owner)

    def forget_builds(self, builds: Iterable[str]) -> None:
        """Remove all that some builds have left; what a container uses stays.

        Raises:
            UnavailableError: The engine went away.
        """
        with speaking("images of an earlier run cannot be removed"):
            for build in builds:
                remove_layers(self.client.api, build)

    def image_id(self, name: str) -> str:
        """The engine's digest of an image; empty if it is not there.

        Raises:
            UnavailableError: The engine went away.
        """
        image = self._image(name)
        return str(image.id) if image else ""

    def python_version(self, name: str) -> str:
        """The Python of a base image that is the organiser's own, such as `3.11`; empty if it is not there.

        Raises:
            ProgramError: The image has no `python3`.
            UnavailableError: The engine went away.
        """
        if tagged := tagged_python(name):
            return tagged
        if not self.image_id(name):
            return ""
        with speaking(f"the Python of {name} is not known"):
            return run_python(self.client, name)

    def base_image(self, name: str) -> FoundImage | None:
        """Look at an image that something is to be built on.

        Args:
            name: Canonical; see canonical_image.

        Returns:
            What is known of it; None if no image of that name is on the engine.

        Raises:
            UnavailableError: The engine went away.
        """
        image = self._image(name)
        return read_image(image.attrs) if image and bears_name(image.attrs, name) else None

    def fetch(self, name: str) -> FoundImage | None:
        """Fetch an image from its registry; gives what is known of it, None if it did not come.

        Raises:
            UnavailableError: The engine went away.
        """
        import docker

        with speaking(f"{name} cannot be fetched"), contextlib.suppress(docker.errors.APIError):
            self.client.images.pull(name)
        return self.base_image(name)

    def forget_image(self, name: str) -> None:
        """Remove an image, if that can be: it only takes room."""
        import docker
        import requests

        with contextlib.suppress(docker.errors.APIError, requests.RequestException, ConnectionError):
            forget_build(self.client, name)

    def forget_others(self, tag: str) -> None:
        """Remove the images that bear the name of one, but are older."""
        for image in self.client.images.list(name=tag.partition(":")[0]):
            for other in image.tags:
                if other != tag:
                    self.forget_image(other)

    def _image(self, name: str) -> "Image | None":
        """What the engine knows of an image; None if it is not there, or has no name that could be."""
        import docker

        with speaking("an image cannot be looked at"):
            try:
                return self.client.images.get(name)
            except docker.errors.NullResource:
                return None
            except docker.errors.APIError as fault:
                if fault.is_client_error():
                    return None
                raise

    def _forget_older_images(self, tag: str, labels: Mapping[str, str]) -> None:
        """Remove what the same program of the same bundle was built to before: up to a gigabyte each."""
        import docker

        found = self.client.images.list(
            filters={"label": [f"{key}={value}" for key, value in labels.items()]}
        )
        for image in found:
            if image.tags and tag not in image.tags:
                with contextlib.suppress(docker.errors.APIError):  # a container still uses it
                    self.client.images.remove(str(image.id))

    def sweep(self, owner: str, key: str = "") -> int:
        """Remove the containers that a killed command of this bundle left running.

        The bundle's lock is held, so whatever bears its label is nobody's any more.

        Args:
            owner: The bundle; see ProgramRun.
            key: Those of one key alone; see ProgramRun.

        Returns:
            How many there were.

        Raises:
            ProgramError: The engine refused.
            UnavailableError: It went away.
        """
        import docker

        with speaking("containers of an earlier run cannot be removed"):
            labels = [f"{OWNER_LABEL}={owner}", *([f"{KEY_LABEL}={key}"] if key else [])]
            left = self.client.containers.list(all=True, filters={"label": labels})
            for container in left:
                with contextlib.suppress(docker.errors.NotFound):
                    container.remove(force=True, v=True)
        return len(left)

    def close(self) -> None:
        """Close the connection to the engine."""
        self.client.close()


def _builds_lock() -> Path:
    """Of this user: builds of the bundles' own programs share layers by the engine's cache.

    Removing older images would take them from under a build that is at work.
    """
    import platformdirs

    return platformdirs.user_cache_path("challenge-bundle") / "builds.lock"
