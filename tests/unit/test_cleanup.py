"""Which of an engine's images are of one build, and that nothing else is removed."""

from typing import Any

import docker
import pytest
import requests

from challenge_bundle.engines.docker.cleanup import (
    BUILD_LABEL,
    ancestors,
    layers_of,
    left_builds,
    remove_layers,
)
from challenge_bundle.engines.docker.container import KEY_LABEL, OWNER_LABEL


def image(name: str, parent: str = "", build: str = "", tags: list[str] | None = None) -> dict[str, Any]:
    labels = {BUILD_LABEL: build} if build else None
    return {"Id": name, "ParentId": parent, "Labels": labels, "RepoTags": tags}


IMAGES = [
    image("base", tags=["python:3.11-slim"]),
    image("dangling"),
    image("a1", "base", "A"),
    image("a2", "a1", "A"),
    image("b1", "base", "B"),
    # A Dockerfile that took our label off again.
    image("a3", "a2", "forged"),
    image("other stage", "base", "A"),
]


def test_the_layers_of_a_build_come_before_what_they_were_made_from() -> None:
    assert layers_of(IMAGES, "A") == ["a3", "a2", *sorted(["a1", "other stage"])]
    assert layers_of(IMAGES, "B") == ["b1"]
    assert layers_of(IMAGES, "C") == []
    assert ancestors("a3", {"a3": "a2", "a2": "a1", "a1": "base", "base": ""}) == {"a2", "a1", "base"}


def test_left_builds_are_those_of_one_bundle_by_submission_and_say_whether_they_were_finished() -> None:
    def left(name: str, build: str, key: str, owner: str, tags: list[str] | None) -> dict[str, Any]:
        made = image(name, "base", build, tags)
        return made | {"Labels": made["Labels"] | {KEY_LABEL: key, OWNER_LABEL: owner}}

    images = [
        *IMAGES,
        left("a1", "A", "first", "ours", ["<none>:<none>"]),
        left("a2", "A", "first", "ours", ["submission:1"]),
        left("a3", "A", "first", "ours", None),
        left("b1", "B", "first", "ours", ["<none>:<none>"]),
        left("c1", "C", "second", "ours", None),
        left("d1", "D", "third", "another bundle", None),
    ]
    assert left_builds(images, "ours") == {"first": {"A": True, "B": False}, "second": {"C": False}}
    assert left_builds(images, "nobody") == {}


class Engine:
    """An engine that keeps an account of what is removed."""

    def __init__(self, used: str = "", status: int = 409) -> None:
        self.removed: list[str] = []
        self.used, self.status = used, status

    def images(self, all: bool = False) -> list[dict[str, Any]]:
        assert all
        return IMAGES

    def remove_image(self, name: str, force: bool, noprune: bool) -> None:
        assert noprune
        if name == self.used:
            response = requests.Response()
            response.status_code = self.status
            raise docker.errors.APIError("in use", response)
        self.removed.append(name)


def test_only_the_builds_own_are_removed() -> None:
    engine = Engine()
    assert remove_layers(engine, "A") == 0
    assert engine.removed == ["a3", "a2", "a1", "other stage"]


def test_the_image_that_is_kept_keeps_what_it_was_made_from() -> None:
    engine = Engine()
    remove_layers(engine, "A", keep="a2")
    assert engine.removed == ["a3", "other stage"]


def test_what_is_in_use_stays_and_is_counted() -> None:
    engine = Engine(used="a2")
    assert remove_layers(engine, "A") == 1
    assert engine.removed == ["a3", "a1", "other stage"]
    with pytest.raises(docker.errors.APIError):
        remove_layers(Engine(used="a2", status=500), "A")
