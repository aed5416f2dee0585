"""What a build of a submission leaves on the engine, found by a label that each of its stages bears."""

import contextlib
from typing import TYPE_CHECKING, Any

from challenge_bundle.engines.docker.container import KEY_LABEL, OWNER_LABEL

if TYPE_CHECKING:
    from docker import APIClient

BUILD_LABEL = "challenge-bundle.build"
"""A name of one build; no two builds share a layer, so removing one's takes nothing from another."""


def left_builds(images: list[dict[str, Any]], owner: str) -> dict[str, dict[str, bool]]:
    """The builds of a bundle's submissions of which the engine holds anything.

    Args:
        images: See layers_of.
        owner: The value of OWNER_LABEL.

    Returns:
        By the submission's key, then by build: whether it was finished, so that its image has a name.
    """
    found: dict[str, dict[str, bool]] = {}
    for image in images:
        labels = image.get("Labels") or {}
        if labels.get(OWNER_LABEL) == owner and (build := labels.get(BUILD_LABEL)):
            builds = found.setdefault(labels.get(KEY_LABEL, ""), {})
            names = set(image.get("RepoTags") or ()) - {"<none>:<none>"}
            builds[build] = builds.get(build, False) or bool(names)
    return found


def layers_of(images: list[dict[str, Any]], build: str) -> list[str]:
    """The images of a build, each before those that it was made from.

    Args:
        images: All that the engine has, intermediate ones among them, as it lists them.
        build: The value of BUILD_LABEL.

    Returns:
        Their identifiers. What is built on an image of the build is of the build too, whatever its labels.
    """
    ours = {image["Id"] for image in images if (image.get("Labels") or {}).get(BUILD_LABEL) == build}
    parent_of = {image["Id"]: image.get("ParentId") or "" for image in images}
    before = 0
    while len(ours) > before:
        before = len(ours)
        ours |= {image for image, parent in parent_of.items() if parent in ours}
    return sorted(ours, key=lambda image: (-len(ancestors(image, parent_of)), image))


def ancestors(image: str, parent_of: dict[str, str]) -> set[str]:
    """All images that an image was made from."""
    found: set[str] = set()
    while (image := parent_of.get(image, "")) and image not in found:
        found.add(image)
    return found


def remove_layers(api: "APIClient", build: str, keep: str = "") -> int:
    """Remove the images of a build from the engine; those of others, dangling or not, stay.

    Args:
        api: Speaks to the engine.
        build: The value of BUILD_LABEL.
        keep: An image that stays, with all that it was made from.

    Returns:
        How many could not be removed, since a container uses them.
    """
    import docker

    images = api.images(all=True)
    parent_of = {image["Id"]: image.get("ParentId") or "" for image in images}
    kept = {keep} | ancestors(keep, parent_of) if keep else set()
    left = 0
    for image in layers_of(images, build):
        if image not in kept:
            try:
                with contextlib.suppress(docker.errors.ImageNotFound):
                    # Without its parents: those that are not ours are never removed along with it.
                    api.remove_image(image, force=True, noprune=True)
            except docker.errors.APIError as fault:
                if not fault.is_client_error():
                    raise
                left += 1
    return left
