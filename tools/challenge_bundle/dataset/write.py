"""Writing an import into its staging folders: the images under their names, the csvs and the record."""

import json
import os
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.staging import StagedImage
from challenge_bundle.dataset.summary import DataSummary
from challenge_bundle.files import write_csv, write_text
from challenge_bundle.findings import Finding
from challenge_bundle.formats.origins import Origin, write_origins
from challenge_bundle.formats.reference import FILE, GROUP, META_PREFIX
from challenge_bundle.formats.task_json import task_text
from challenge_bundle.formats.tasks import REGRESSION, Task, label_cells, label_columns, labels_of
from challenge_bundle.layout import SPLITS, TASK_NAME, Layout, solution_name, split_dir_name
from challenge_bundle.sources.base import base_name


def name_images(assigned: Sequence[StagedImage], keep: bool) -> list[StagedImage]:
    """Name the images: as they are, or by numbers in random order that show neither class nor split."""
    # By their content alone: an order that depends on class or split could be computed from the seed.
    ordered = sorted(assigned, key=lambda image: (image.sha256, image.source.origin))
    if keep:
        named = (replace(image, name=base_name(image.source)) for image in ordered)
        return sorted(named, key=lambda image: image.name)
    return [
        replace(image, name=f"{number:06d}{os.path.splitext(image.file)[1].lower()}")
        for number, image in enumerate(ordered, start=1)
    ]


def write_images(
    named: Sequence[StagedImage],
    groups: Mapping[str, str],
    task: Task,
    subgroups: Sequence[str],
    staging: Path,
    secret: Path,
) -> None:
    """Move the images into folders of their splits, and write which label each has.

    Args:
        named: The images with their splits and names.
        groups: Pseudonym of each image's patient group, by origin; empty where none is known.
        task: What the labels are of.
        subgroups: Attributes that the reference of the testing images gets.
        staging: The public staging folder.
        secret: The secret one, for the labels of the testing images.
    """
    for folder in (staging, secret):
        write_text(folder / TASK_NAME, task_text(task))
    columns = [FILE, *label_columns(task), *([GROUP] if groups else [])]
    # One time for all: the order in which they were written would show more than their names do.
    now = time.time()
    for split in SPLITS:
        folder = staging / split_dir_name(split)
        folder.mkdir()
        images = sorted((image for image in named if image.split == split), key=lambda image: image.name)
        for image in images:
            target = f"{folder}/{image.name}"
            if split == "testing":
                # A new file: inode numbers show in which order files were made, and that of the staged ones
                # can be computed from the seed and the names at the source.
                shutil.copyfile(image.file, target)
            else:
                os.replace(image.file, target)
            os.utime(target, (now, now))
        # Nobody but the organiser needs what patients are like.
        attributes = subgroups if split == "testing" else ()
        header = [*columns, *(META_PREFIX + attribute for attribute in attributes)]
        rows = [
            (
                f"{folder.name}/{image.name}",
                *label_cells(task, image.source.class_name),
                *([groups[image.source.origin]] if groups else []),
                *(image.source.attributes.get(attribute, "") for attribute in attributes),
            )
            for image in images
        ]
        write_csv((secret if split == "testing" else staging) / solution_name(split), header, rows)


def write_record(
    named: Sequence[StagedImage],
    patient_groups: Mapping[str, str],
    source: str,
    findings: Sequence[Finding],
    request: ImportRequest,
    layout: Layout,
    secret: Path,
    class_names: Sequence[str],
) -> DataSummary:
    """Write where each image came from and what was asked; for the organiser alone.

    Args:
        named: The images with their splits and names.
        patient_groups: Patient group by origin.
        source: Description of the source.
        findings: What the checks found.
        request: What was asked.
        layout: Of the bundle, for the names of the files.
        secret: The secret staging folder.
        class_names: The classes or labels, in order.
    """
    write_origins(
        secret / layout.origins_csv.name,
        (
            Origin(
                image.name,
                image.split,
                image.source.class_name,
                image.sha256,
                image.source.origin,
                patient_groups.get(image.source.origin),
                image.pixels_sha256,
            )
            for image in sorted(named, key=lambda image: image.name)
        ),
    )
    labels = [image.source.class_name for image in named]
    classes = Counter(name for label in labels for name in labels_of(request.task, label))
    of_split = Counter(image.split for image in named)
    summary = DataSummary(
        source,
        tuple(class_names),
        {split: of_split[split] for split in SPLITS},
        tuple(findings),
        request,
        task=request.task,
        classes={name: classes[name] for name in class_names},
        values=tuple(sorted(map(float, labels))) if request.task == REGRESSION else (),
        patient_groups=_count_patient_groups(named, patient_groups),
    )
    record = {
        "source": source,
        "counts": summary.counts,
        "class_names": summary.class_names,
        "warnings": [finding.text for finding in findings],
        "request": asdict(request),
    }
    write_text(secret / layout.import_json.name, json.dumps(record, indent=2) + "\n", private=True)
    return summary


def _count_patient_groups(named: Sequence[StagedImage], patient_groups: Mapping[str, str]) -> tuple[int, int]:
    """How many patient groups there are, and how many of them are in two splits."""
    splits: dict[str, set[str]] = defaultdict(set)
    for image in named:
        if image.source.origin in patient_groups:
            splits[patient_groups[image.source.origin]].add(image.split)
    return len(splits), sum(len(found) > 1 for found in splits.values())
