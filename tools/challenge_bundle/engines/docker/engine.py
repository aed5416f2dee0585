"""Programs in containers: no network, no rights, one writable folder, limits held from outside."""

import contextlib
import io
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from challenge_bundle.engines.base import (
    BuildLimits,
    BuildOutcome,
    BuildSpec,
    Capacity,
    Claim,
    ImageInfo,
    OnLine,
    Outcome,
    RunSpec,
)
from challenge_bundle.engines.docker.api import RefusedError, engine_address, knock, root_cause, speaking
from challenge_bundle.engines.docker.base_images import read_image, run_python, tagged_python
from challenge_bundle.engines.docker.cleanup import BUILD_LABEL, left_builds, remove_layers
from challenge_bundle.engines.docker.container import (
    KEY_LABEL,
    OWNER_LABEL,
    PROGRAM_LABEL,
    Host,
    container_config,
    read_host,
)
from challenge_bundle.engines.docker.images import build_image
from challenge_bundle.engines.docker.submission_build import build_submission, forget_build
from challenge_bundle.engines.docker.watchdog import RESERVE_BYTES, follow, watchdog_of
from challenge_bundle.errors import BundleError, ProgramError, UnavailableError
from challenge_bundle.installation import package_hint
from challenge_bundle.lock import file_lock

if TYPE_CHECKING:
    import docker
    from docker.models.images import Image

_NO_NETWORK = re.compile(
    "No matching distribution|Could not find a version|Max retries|name resolution|Network is unreachable"
    "|[Ff]ailed to fetch|dns error|certificate verify failed|Connection refused|timed out"
)
"""What pip and uv print where no package index can be reached."""


class DockerEngine:
    """Runs a program in a container of its own image; use `connect` to make one. See Engine.

    Args:
        client: Speaks to the engine.
        description: What the engine is, for messages and receipts.
        host: What its machine gives.
        wheelhouse: See Engine.
        address: Where the engine answers.
    """

    name = "docker"
    builds_images = True
    is_isolated = True

    def __init__(
        self,
        client: "docker.DockerClient",
        description: str,
        host: Host,
        wheelhouse: Path | None,
        address: str = "",
    ) -> None:
        self.client = client
        self.description = description
        self.host = host
        self.wheelhouse = wheelhouse
        self.get_wheels: Callable[[str, OnLine], bool] = lambda program, on_line: False
        self.address = address
        self.reserve_bytes = RESERVE_BYTES

    @property
    def capacity(self) -> Capacity:
        """What the engine's machine gives to all runs together."""
        return self.host.capacity

    @classmethod
    def connect(cls, gpus: str = "auto", wheelhouse: Path | None = None) -> "DockerEngine":
        """Find the engine: DOCKER_HOST, else the docker command's current context, else Podman's socket.

        Args:
            gpus: `auto` (if the engine has NVIDIA's runtime), `none` or `all`.
            wheelhouse: See Engine.

        Raises:
            UnavailableError: None answers, or the docker package is not installed.
        """
        try:
            import docker
        except ImportError:
            raise UnavailableError(
                "the docker package is not installed",
                code="docker-package-missing",
                hint=package_hint("docker"),
            ) from None
        where = "any context"
        try:
            address = engine_address()
            where = str(address["base_url"])
            knock(where)
            client = docker.DockerClient(**address)
            info = client.info()
        except Exception as fault:  # a broken context file raises a bare Exception there
            raise UnavailableError(
                f"no Docker Engine answers at {where} ({root_cause(fault)})",
                code="engine-unreachable",
                hint="start it, correct DOCKER_HOST or DOCKER_CONTEXT if you set them, or use --runner local"
                " for your own code",
            ) from None
        name = f"Engine {info.get('ServerVersion', '?')}"
        return cls(client, name, read_host(info, gpus), wheelhouse, where)

    def run(self, spec: RunSpec, on_line: OnLine) -> Outcome:
        """Run a container of an image that is there; see Engine."""
        if spec.key:
            # What an engine that went away for a while has kept on running.
            self.stop(spec.owner, spec.key)
        if os.name == "posix" and os.geteuid() == 0:
            os.chown(spec.output_dir, *map(int, self.host.user.split(":")))
        watchdog = watchdog_of(self.address)
        with speaking(f"{spec.name} cannot be run"):
            container = self.client.containers.create(**container_config(spec, self.host))
            try:
                return follow(container, spec, self.reserve_bytes, watchdog, on_line)
            finally:
                with contextlib.suppress(Exception):  # the next start finds by its label what is left here
                    container.remove(force=True, v=True)

    def build(self, spec: BuildSpec, on_line: OnLine) -> BuildOutcome:
        """Make an image, unless one of the same content is there; see Engine."""
        if spec.limits is not None:
            return self._build_submission(spec, spec.limits, on_line)
        on_line(f"image {spec.image}")
        started = time.monotonic()
        with speaking(f"the image {spec.name} cannot be built"):
            labels = {OWNER_LABEL: spec.owner, PROGRAM_LABEL: spec.program}
            with file_lock(_builds_lock()):
                digest, is_new = self._build(spec, labels, on_line)
                if is_new:
                    self._forget_older_builds(spec.image, labels)
        on_line(f"built in {time.monotonic() - started:.1f} s" if is_new else "unchanged, not built again")
        return BuildOutcome(digest)

    def _build_submission(self, spec: BuildSpec, limits: BuildLimits, on_line: OnLine) -> BuildOutcome:
        """Build a participant's files; see Engine."""
        labels = {OWNER_LABEL: spec.owner, PROGRAM_LABEL: spec.program, KEY_LABEL: spec.key}
        room, watchdog = self.host.images_dir, watchdog_of(self.address)
        try:
            with speaking("the image cannot be built"):
                return build_submission(
                    self.client, spec, self._wheels(spec.folder), labels, limits, room, watchdog, on_line
                )
        except RefusedError as fault:
            # Such as an instruction that the engine does not know: nothing was begun.
            return BuildOutcome(error=str(fault))

    def _build(self, spec: BuildSpec, labels: Mapping[str, str], on_line: OnLine) -> tuple[str, bool]:
        """Build from wheels if there are any, else by the network, else from wheels that are got for it."""
        try:
            return build_image(self.client, spec, self._wheels(spec.folder), labels, on_line)
        except ProgramError as fault:
            lacks_network = any(_NO_NETWORK.search(line) for line in fault.details)
            if self._wheels(spec.folder) or not lacks_network or not self.get_wheels(spec.program, on_line):
                raise
        return build_image(self.client, spec, self._wheels(spec.folder), labels, on_line)

    def _wheels(self, folder: str) -> Path | None:
        """The wheelhouse, if it holds wheels for a program."""
        house = self.wheelhouse
        return house if house and any((house / folder).glob("*.whl")) else None

    def has_room(self, folder: Path) -> bool:
        """Whether so much is free that the watchdog leaves a run alone; see Engine."""
        return shutil.disk_usage(folder).free >= self.reserve_bytes

    def works(self, image: str = "") -> bool:
        """Whether an empty build and a run of `true` end well; see Engine."""
        import docker

        try:
            with speaking("a trial"):
                if self.host.images_dir is not None and not self.has_room(self.host.images_dir):
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

    def inspect(self, image: str) -> ImageInfo | None:
        """Look at an image; see Engine."""
        found = self._image(image)
        return read_image(found.attrs) if found else None

    def fetch(self, image: str) -> ImageInfo | None:
        """Fetch an image from its registry; see Engine."""
        import docker

        with speaking(f"{image} cannot be fetched"), contextlib.suppress(docker.errors.APIError):
            self.client.images.pull(image)
        return self.inspect(image)

    def python_version(self, image: str) -> str:
        """The Python of a base image, by its name or by asking it; see Engine."""
        if tagged := tagged_python(image):
            return tagged
        if self._image(image) is None:
            return ""
        with speaking(f"the Python of {image} is not known"):
            return run_python(self.client, image)

    def forget(self, image: str) -> None:
        """Remove an image with its layers, if that can be; see Engine."""
        import docker
        import requests

        with contextlib.suppress(docker.errors.APIError, requests.RequestException, ConnectionError):
            forget_build(self.client, image)

    def forget_older(self, image: str) -> None:
        """Remove the images of the same repository but this one; see Engine."""
        for found in self.client.images.list(name=image.partition(":")[0]):
            for other in found.tags:
                if other != image:
                    self.forget(other)

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

    def _forget_older_builds(self, image: str, labels: Mapping[str, str]) -> None:
        """Remove what the same program of the same bundle was built to before: up to a gigabyte each."""
        import docker

        found = self.client.images.list(
            filters={"label": [f"{key}={value}" for key, value in labels.items()]}
        )
        for older in found:
            if older.tags and image not in older.tags:
                with contextlib.suppress(docker.errors.APIError):  # a container still uses it
                    self.client.images.remove(str(older.id))

    def stop(self, owner: str, key: str = "") -> int:
        """Remove the containers that bear the owner's label, and the key's; see Engine.

        The bundle's lock is held, so whatever bears its label is nobody's any more.
        """
        import docker

        with speaking("containers of an earlier run cannot be removed"):
            labels = [f"{OWNER_LABEL}={owner}", *([f"{KEY_LABEL}={key}"] if key else [])]
            left = self.client.containers.list(all=True, filters={"label": labels})
            for container in left:
                with contextlib.suppress(docker.errors.NotFound):
                    container.remove(force=True, v=True)
        return len(left)

    def sweep(self, owner: str, kept: Collection[str], claim: Claim) -> None:
        """Remove containers, and what builds of submissions have left; see Engine."""
        self.stop(owner)
        with speaking("images of an earlier run cannot be listed"):
            left = left_builds(self.client.api.images(all=True), owner)
        for key, builds in left.items():
            with claim(key) as is_held, speaking("images of an earlier run cannot be removed"):
                for build, is_finished in builds.items() if is_held else ():
                    if not (is_finished and (key in kept or not key)):
                        remove_layers(self.client.api, build)

    def close(self) -> None:
        """Close the connection to the engine."""
        self.client.close()


def _builds_lock() -> Path:
    """Of this user: builds of the bundles' own programs share layers by the engine's cache.

    Removing older images would take them from under a build that is at work.
    """
    import platformdirs

    return platformdirs.user_cache_path("challenge-bundle") / "builds.lock"
