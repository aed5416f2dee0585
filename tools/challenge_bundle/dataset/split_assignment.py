"""Which split each image goes to: its own, that of the last import, or its share of what has none."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.duplicates import Dropped
from challenge_bundle.dataset.previous_import import PreviousImport, strongest
from challenge_bundle.dataset.staging import StagedImage
from challenge_bundle.dataset.strata import make_strata
from challenge_bundle.dataset.stratify import assign_sets, connect, find_rare_classes, missing_splits
from challenge_bundle.errors import shown
from challenge_bundle.findings import WARNING, Finding
from challenge_bundle.formats.tasks import WITH_ONE_CLASS
from challenge_bundle.layout import SPLITS
from challenge_bundle.sources.base import place_of


def assign_splits(
    staged: Sequence[StagedImage],
    patient_groups: Mapping[str, str],
    request: ImportRequest,
    previous: PreviousImport,
    dropped: Dropped,
) -> tuple[list[StagedImage], list[Finding]]:
    """Give every image its split: its own where the source has one, else its share of what has none.

    Args:
        staged: The images.
        patient_groups: Patient group by origin; one is never in two splits that are cut here.
        request: What was asked.
        previous: The last import, whose splits may be kept.
        dropped: Duplicates of the images that were dropped.

    Returns:
        The images with their splits, and what was found on the way; no images if a class has too few.
    """
    given = {image.source.split for image in staged if image.source.split}
    missing = missing_splits(given)
    cut_from = "training" if given else None
    assigned = [
        replace(image, split=image.source.split or "")
        for image in staged
        if not missing or image.source.split != cut_from
    ]
    uncut = [image for image in staged if image.source.split == cut_from] if missing else []
    findings: list[Finding] = []
    if not uncut:
        return assigned, findings
    targets = [split for split in SPLITS if split in missing or split == cut_from]
    together = connect(uncut, lambda image: keys_together(image, patient_groups, dropped))
    kept: list[str | None] = [None] * len(together)
    if request.keep_splits:
        were = [_known(same, previous) & set(targets) for same in together]
        kept = [strongest(splits) for splits in were]
        findings += _find_parted(together, were, patient_groups)
    rare = find_rare_classes(
        together,
        lambda image: image.source.class_name,
        len(targets),
        lambda same: _describe(same, patient_groups),
    )
    if rare and request.task in WITH_ONE_CLASS:
        return [], findings + rare
    return assigned + _cut(uncut, together, targets, kept, patient_groups, request), findings


def keys_together(
    image: StagedImage, patient_groups: Mapping[str, str], dropped: Dropped
) -> list[tuple[str, str]]:
    """Images that share one stay together: duplicates and those of one patient group."""
    of_image = [patient_groups[image.source.origin]] if image.source.origin in patient_groups else []
    of_image += dropped.patient_groups.get(image.pixels_sha256, [])
    return [("pixels", image.pixels_sha256), *(("patient group", group) for group in of_image)]


def _known(same: Sequence[StagedImage], previous: PreviousImport) -> frozenset[str]:
    """The splits in which images that stay together were."""
    return frozenset(split for image in same for split in previous.splits_of(image))


def _find_parted(
    together: Sequence[Sequence[StagedImage]],
    were: Sequence[frozenset[str]],
    patient_groups: Mapping[str, str],
) -> list[Finding]:
    """How many that stay together now were in several splits."""
    parted = [same for same, splits in zip(together, were, strict=True) if len(splits) > 1]
    if not parted:
        return []
    message = (
        f"patient groups whose images the last import had in several splits: {len(parted):,}, such as"
        f" {_describe(parted[0], patient_groups)}; each is whole in testing now if one of its images was"
        " there, else in validation"
    )
    return [Finding("patient-group-was-split", WARNING, "", message)]


def _cut(
    images: Sequence[StagedImage],
    together: Sequence[Sequence[StagedImage]],
    targets: Sequence[str],
    kept: Sequence[str | None],
    patient_groups: Mapping[str, str],
    request: ImportRequest,
) -> list[StagedImage]:
    """Cut splits by stratum; `together` lists what stays together, `kept` the split that each keeps."""
    strata = make_strata(request.task, (image.source.class_name for image in images))

    def strata_of(image: StagedImage) -> tuple[str, ...]:
        return strata(image.source.class_name)

    shares: dict[str, dict[str, float]] = {}
    for stratum, count in Counter(stratum for image in images for stratum in strata_of(image)).items():
        even = request.sample_size and count >= request.sample_size * len(targets)
        wanted = {split: 1.0 if even else request.split[SPLITS.index(split)] for split in targets}
        shares[stratum] = {split: share / sum(wanted.values()) for split, share in wanted.items()}
    sizes = None
    if request.task not in WITH_ONE_CLASS:
        # Of few patients with many labels, most splits lack a label alike.
        total = sum(request.split[SPLITS.index(name)] for name in targets)
        sizes = {name: request.split[SPLITS.index(name)] / total * len(images) for name in targets}
    split = assign_sets(together, shares, strata_of, kept, sizes)
    taken: Counter[tuple[str, tuple[str, ...]]] = Counter()
    assigned: list[StagedImage] = []
    # Where patient groups or kept splits make the splits uneven, all that were asked for are kept.
    uneven = bool(patient_groups) or any(kept)
    for name, of_split in split.items():
        for image in of_split:
            taken[name, strata_of(image)] += 1
            if uneven or not 0 < request.sample_size < taken[name, strata_of(image)]:
                assigned.append(replace(image, split=name))
    return assigned


def _describe(same: Sequence[StagedImage], patient_groups: Mapping[str, str]) -> str:
    """Name images that stay together."""
    names = sorted(
        {patient_groups[image.source.origin] for image in same if image.source.origin in patient_groups}
    )
    first = place_of(same[0].source)
    if len(names) > 1:
        return f"{shown(names[0])} and {shown(names[1])}, which share an image, such as {first}"
    if names:
        return f"{shown(names[0])}, of {len(same)} images, such as {first}"
    return first if len(same) == 1 else f"{first} and {len(same) - 1} duplicates of it"
