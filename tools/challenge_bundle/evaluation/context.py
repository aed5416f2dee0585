"""What all submissions are evaluated with: the test images, their reference, the programs and the limits."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from challenge_bundle.engines.base import Engine
from challenge_bundle.engines.build_context import context_files
from challenge_bundle.errors import DataError, shown
from challenge_bundle.evaluation.public_split import split_test_set
from challenge_bundle.evaluation.records import Records
from challenge_bundle.evaluation.step_cache import make_key
from challenge_bundle.files import hash_file, hash_folder, plain_files, write_text
from challenge_bundle.formats.program_toml import PARTS, read_program_toml
from challenge_bundle.formats.reference import Reference, read_reference
from challenge_bundle.formats.task_json import read_task, task_text
from challenge_bundle.layout import TASK_NAME, Layout
from challenge_bundle.lock import file_lock
from challenge_bundle.runs.programs import SCORING, owner_of
from challenge_bundle.runs.task import update_task
from challenge_bundle.settings import ALL, Bundle

Connect = Callable[[], Engine]
"""Makes a connection to the engine that runs submissions; whoever calls it closes it."""


@dataclass(frozen=True)
class Context:
    """One bundle as the organiser's submissions meet it; see read_context.

    Args:
        bundle: The manifest.
        layout: Its paths.
        reference: The true answers.
        reference_sha256: Of the file's bytes, in hexadecimal.
        testing_sha256: Of the names and contents of all test images, in hexadecimal.
        test_splits: Base names of the images of each split of the test set.
    """

    bundle: Bundle
    layout: Layout
    reference: Reference
    reference_sha256: str
    testing_sha256: str
    test_splits: dict[str, frozenset[str]]

    @property
    def owner(self) -> str:
        """The name of this bundle on an engine."""
        return owner_of(self.layout)

    @cached_property
    def image_names(self) -> frozenset[str]:
        """Base names of the test images."""
        return frozenset(self.reference.label_of)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Classes or labels in order, none of values: a model.json that names others is of other data."""
        return self.reference.class_names

    @cached_property
    def hidden_words(self) -> frozenset[str]:
        """Texts that no participant may get to see of a run on the test images, besides the images' names.

        All that the reference says of any image, whatever it means.
        """
        with self.layout.solution_csv("testing").open(encoding="utf-8-sig", newline="") as opened:
            _, *rows = csv.reader(opened)
        return frozenset(self.class_names) | {cell for row in rows for cell in row[1:] if cell}

    @property
    def reference_dir(self) -> Path:
        """Folder of the reference: its csv, task.json and whatever else scoring reads."""
        return self.layout.solution_csv("testing").parent

    @cached_property
    def reference_files(self) -> dict[str, str]:
        """SHA-256 of each file in that folder, by its path there."""
        names = [name for name in plain_files(self.reference_dir) if not name.startswith(".")]
        found = {name: hash_file(self.reference_dir / name) for name in names}
        if TASK_NAME in found:
            # All metrics are scored, whichever ranks: another one makes no score stale.
            task = replace(read_task(self.reference_dir), metric="")
            found[TASK_NAME] = make_key(task_text(task))
        return found

    @cached_property
    def scoring_modes(self) -> tuple[str, ...]:
        """What the scoring program understands; see formats/program_toml.py."""
        return read_program_toml(self.layout.program_dir(SCORING.folder), SCORING.files).modes

    @cached_property
    def scoring_sha256(self) -> str:
        """SHA-256 over the scoring program's image: its Dockerfile and all that this copies."""
        folder = self.layout.program_dir(SCORING.folder)
        files = context_files(folder / "Dockerfile", folder, folder)
        return make_key(self.bundle.base_image, {name: hash_file(path) for name, path in files.items()})

    def score_key(self, results_sha256: str) -> str:
        """What the scores of predictions depend on, of all splits of the test set."""
        return make_key(
            "scores",
            results_sha256,
            self.reference_files,
            self._names_sha256,
            self.scoring_sha256,
            self.scoring_modes,
            self.bundle.arguments["scoring"],
            self.bundle.evaluation.resamples,
        )

    def is_score_key(self, key: str, test_split: str, results_sha256: str) -> bool:
        """Whether scores that are stored under a key are those that scoring would give now.

        Version 0.1 scored each split by itself; its scores hold as long as its scoring program is there.
        """
        if key == self.score_key(results_sha256):
            return True
        arguments = self.bundle.arguments["scoring"]
        names = self._names_sha256[test_split]
        former = make_key(results_sha256, self.reference_sha256, names, self.scoring_sha256, arguments)
        return not self.scoring_modes and key == former

    @cached_property
    def _names_sha256(self) -> dict[str, str]:
        """SHA-256 of each split's names; cached, since every submission needs it."""
        return {
            test_split: hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
            for test_split, names in self.test_splits.items()
        }


@contextmanager
def open_evaluation(
    bundle: Bundle, layout: Layout, database: str | None
) -> Iterator[tuple[Context, Records]]:
    """The context and the records of a bundle.

    Args:
        bundle: The manifest.
        layout: Its paths.
        database: URL; None is a file in the bundle's own folder.
    """
    context = read_context(bundle, layout)
    layout.evaluation.mkdir(parents=True, exist_ok=True)
    records = Records(database or f"sqlite:///{layout.evaluation / 'records.sqlite'}")
    with closing(records):
        yield context, records


def read_context(bundle: Bundle, layout: Layout) -> Context:
    """Read what an evaluation needs, and check before the first submission that it is complete.

    Raises:
        DataError: The reference or the testing images are missing, or do not belong together.
    """
    path = layout.solution_csv("testing")
    if not path.exists():
        raise DataError(
            "the reference of the testing images is missing",
            path,
            code="missing-reference",
            hint="evaluate in the organiser's bundle, where `data import` wrote it",
        )
    update_task(bundle, layout)
    reference = read_reference(path)
    if not layout.testing_data.is_dir():
        raise DataError(
            "the testing images are missing, although their reference is there",
            layout.testing_data,
            code="missing-testing-images",
            hint="put them back, or import the same data again (`data import --replace`): the same source,"
            " seed and settings give the same images",
        )
    there = {entry.name for entry in layout.testing_data.iterdir() if entry.name[0] != "."}
    if there != reference.label_of.keys():
        other = min(there ^ reference.label_of.keys())
        raise DataError(
            f"expected the images of {layout.testing_data.name}/, but {shown(other)} is in one alone",
            path,
            code="reference-of-other-images",
            hint="import the data again",
        )
    sha256 = hash_file(path)
    testing_sha256 = hash_folder(layout.testing_data)
    if not layout.tested_on.exists() or not any(layout.kept_zips.glob("[0-9a-f]*.*")):
        write_text(layout.tested_on, testing_sha256 + "\n")
    test_splits = _kept_splits(layout, reference, sha256, bundle.evaluation.public_share)
    context = Context(bundle, layout, reference, sha256, testing_sha256, test_splits)
    if PARTS not in context.scoring_modes:
        _check_answers(reference, test_splits, path)
    return context


def _check_answers(reference: Reference, test_splits: Mapping[str, frozenset[str]], path: Path) -> None:
    """Refuse splits that lack an answer: a program that is called for each knows the answers of one alone.

    Raises:
        DataError: A split lacks an answer that several cases have.
    """
    answers = reference.label_of
    counts = Counter(answers.values())
    for names in test_splits.values():
        absent = {answer for answer, count in counts.items() if count > 1} - {answers[name] for name in names}
        if absent:
            raise DataError(
                f"{shown(min(absent))} is the answer of no image in one of the two splits of the test set,"
                " and this scoring program scores each split by itself",
                path,
                code="class-without-images",
                hint="set 'evaluation.public_share' to 1, or import more images of it",
            )


def _kept_splits(
    layout: Layout, reference: Reference, sha256: str, share: float
) -> dict[str, frozenset[str]]:
    """The split of the test set as it was made at first: a corrected label moves no image.

    Raises:
        DataError: The stored split is damaged.
    """
    if share >= 1.0:
        return {ALL: frozenset(reference.label_of)}
    path = layout.evaluation / "parts.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        public, final = frozenset(kept["public"]), frozenset(kept["final"])
        if kept["share"] == share and public | final == reference.label_of.keys() and not public & final:
            return {"public": public, "final": final}
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError):
        raise DataError(
            "not the stored split of the test set",
            path,
            code="damaged-split",
            hint="bring it back from a backup, or remove it: the test set is split again, and"
            " `evaluate --rescore` scores all again",
        ) from None
    test_splits = split_test_set(reference, _secret(layout, sha256), share)
    document = {"share": share} | {test_split: sorted(names) for test_split, names in test_splits.items()}
    write_text(path, json.dumps(document, indent=1) + "\n", private=True)
    return test_splits


def _secret(layout: Layout, reference_sha256: str) -> str:
    """The secret of the split: stored, so that another share changes as few images as possible."""
    path = layout.evaluation / "deal"
    if not path.exists():
        write_text(path, reference_sha256 + "\n", private=True)
    return path.read_text(encoding="utf-8").strip()


def zips_dir(layout: Layout) -> Path:
    """Folder of the kept zips."""
    return layout.kept_zips


def steps_dir(layout: Layout, name: str) -> Path:
    """Folder of the kept steps of one kind."""
    return layout.evaluation / "steps" / name


def submission_lock(context: Context, sha256: str, wait: bool = True) -> AbstractContextManager[bool]:
    """Let one thread of one process at a time work on a submission; see file_lock.

    Its files, its image and its containers are known by its SHA-256, in each phase that it came in.
    """
    return file_lock(context.layout.evaluation / "locks" / f"{sha256 or 'none'}.lock", wait)
