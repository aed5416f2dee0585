"""A submission's image: on which images it may be built, and what a build that failed means."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from challenge_bundle.bounded_log import BoundedLog
from challenge_bundle.engines.base import BuildLimits, BuildSpec, Engine, ImageInfo
from challenge_bundle.evaluation.context import Context
from challenge_bundle.evaluation.verdicts import Crowded, Inconclusive, Refusal, verdict_of
from challenge_bundle.formats.build_recipe import Base, BaseConfig
from challenge_bundle.formats.container_image_name import canonical_image, is_allowed
from challenge_bundle.formats.dockerfile import DockerfileError
from challenge_bundle.runs.programs import INFERENCE

SUBMISSION = "submission"
"""What images and runs of participants are called on the engine."""

SHOWN_BUILD_LINES = 20


def build_files(
    context: Context,
    engine: Engine,
    files: Mapping[str, Path],
    name: str,
    log: BoundedLog,
    key: str = "",
    hides_dockerfile: bool = False,
) -> dict[str, Any]:
    """Build an image from the files of a submission, under the challenge's rules.

    Args:
        context: Gives the rules.
        engine: Speaks to the engine.
        files: What the zip holds, by name.
        name: Of the image.
        log: Gets the build's lines.
        key: Of the submission.
        hides_dockerfile: See BuildSpec.

    Returns:
        The facts: `tag`, `image` (the engine's digest) and `image_bytes`.

    Raises:
        Refusal: The files are at fault.
        Inconclusive: They, or the engine, are.
        UnavailableError: The engine is away, or something else is missing here.
    """
    settings = context.bundle.evaluation
    spec = BuildSpec(
        name=name,
        folder=INFERENCE.folder,
        files=files,
        base_image=context.bundle.base_image,
        torch_backend="cpu",
        hides_dockerfile=hides_dockerfile,
        program=SUBMISSION,
        owner=context.owner,
        key=key,
        limits=BuildLimits(
            settings.build_time_s, settings.build_memory_mb, settings.image_mb, settings.build_network
        ),
    )
    try:
        spec = _with_bases(context, engine, spec)
        image = spec.image
        outcome = engine.build(spec, log.line)
    except DockerfileError as fault:
        raise Refusal(verdict_of(fault.code), (f"error: {fault}",)) from None
    if outcome.limit:
        at_limit = Refusal(f"build-{outcome.limit}", limit=outcome.allowed)
        raise Crowded(at_limit) if outcome.is_crowded else at_limit
    if outcome.lacks_base:
        # A registry that is away for a while looks the same.
        raise Inconclusive(Refusal("no-base-image"))
    if outcome.error:
        refusal = Refusal("build-failed", (*outcome.last_lines[-SHOWN_BUILD_LINES:], outcome.error))
        raise Inconclusive(refusal) if outcome.is_doubtful else refusal
    if outcome.has_volumes:
        # They would be writable, and outside of every limit.
        engine.forget(image)
        raise Refusal("volume")
    return {"tag": image, "image": outcome.image, "image_bytes": outcome.image_bytes}


def _with_bases(context: Context, engine: Engine, spec: BuildSpec) -> BuildSpec:
    """Look at the images that a submission is built on, before the engine is asked to build it.

    Returns:
        The spec, with those images alone to build on.

    Raises:
        Refusal: One may not be built on, such as another team's image, or is not on the engine.
        Inconclusive: One that could be fetched did not come.
    """
    settings = context.bundle.evaluation
    given = canonical_image(context.bundle.base_image) if context.bundle.base_image else None
    configs: dict[str, BaseConfig] = {}
    for base in spec.recipe(spec.arguments(engine.wheelhouse is not None)).bases:
        if not is_allowed(base.name, settings.base_images, context.bundle.base_image):
            raise _base_refusal(base, "is not one of the challenge's base images")
        found = _named(engine.inspect(base.name), base)
        if found is None and settings.pull:
            found = _named(engine.fetch(base.name), base)
        if found is None:
            refusal = _base_refusal(base, "is not on this machine", "no-base-image")
            raise Inconclusive(refusal) if settings.pull or base.name == given else refusal
        if found.is_ours and base.name != given:
            raise _base_refusal(base, "is not a base image")
        if found.has_triggers:
            raise _base_refusal(base, "has ONBUILD triggers, which would run in the build")
        if base.platform not in ("", found.platform):
            raise _base_refusal(base, f"is not there for {base.platform}", "no-base-image")
        configs[base.name] = found.config
    return dataclasses.replace(spec, bases=configs)


def _named(found: ImageInfo | None, base: Base) -> ImageInfo | None:
    """An image if it bears the name that the Dockerfile writes, and was not found by its identifier."""
    return found if found and base.name in found.names else None


def _base_refusal(base: Base, what: str, code: str = "base-image") -> Refusal:
    return Refusal(code, (f"error: Dockerfile:{base.line}: {base.name} {what}",))
