"""Images on the engine that others are built on."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from challenge_bundle.engines.base import ImageInfo
from challenge_bundle.engines.docker.cleanup import BUILD_LABEL
from challenge_bundle.engines.docker.container import OWNER_LABEL, PROGRAM_LABEL
from challenge_bundle.formats.build_recipe import DEFAULT_SHELL, BaseConfig
from challenge_bundle.formats.container_image_name import canonical_image

if TYPE_CHECKING:
    import docker

_PYTHON_TAG = re.compile(r"(?:^|/)python:(3\.\d+)")
_OUR_LABELS = (OWNER_LABEL, PROGRAM_LABEL, BUILD_LABEL)


def read_image(attributes: Mapping[str, Any]) -> ImageInfo:
    """Parse what the engine reports of an image."""
    config = attributes.get("Config") or {}
    labels = config.get("Labels") or {}
    variables = {name: value for name, _, value in (text.partition("=") for text in config.get("Env") or ())}
    names = (*(attributes.get("RepoTags") or ()), *(attributes.get("RepoDigests") or ()))
    return ImageInfo(
        digest=str(attributes.get("Id") or ""),
        names=tuple(name for name in map(canonical_image, names) if name),
        config=BaseConfig(variables, tuple(config.get("Shell") or DEFAULT_SHELL)),
        is_ours=any(label in labels for label in _OUR_LABELS),
        has_triggers=bool(config.get("OnBuild")),
        platform=f"{attributes.get('Os')}/{attributes.get('Architecture')}",
    )


def tagged_python(name: str) -> str:
    """The Python that an image's name holds, such as `3.11` of `python:3.11-slim`; empty if it does not."""
    found = _PYTHON_TAG.search(name)
    return found[1] if found else ""


def run_python(client: "docker.DockerClient", name: str) -> str:
    """Ask an image that is the organiser's own for its Python; gives it as `3.11`."""
    command = ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    printed: bytes = client.containers.run(
        name, command, entrypoint=["python3"], network_mode="none", remove=True
    )
    return printed.decode("ascii", "replace").strip()
