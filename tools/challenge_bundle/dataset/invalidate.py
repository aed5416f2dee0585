"""An evaluation and the data that it is of: what an import would make of it, and how it is put away."""

from pathlib import Path

from challenge_bundle.dataset.publish import put_away
from challenge_bundle.errors import DataError
from challenge_bundle.files import hash_folder
from challenge_bundle.findings import WARNING, Finding
from challenge_bundle.formats.reference import read_reference
from challenge_bundle.layout import Layout, solution_name


def count_evaluated(layout: Layout) -> tuple[int, int]:
    """How many submissions were taken in, and how many of them have a receipt: they were scored."""
    receipts = layout.evaluation / "receipts"
    kept = [*layout.kept_zips.glob("*.zip"), *layout.kept_zips.glob("*.csv")]
    return len(kept), len(list(receipts.glob("*.json")))


def keep_evaluation(layout: Layout, staging: Path, secret: Path, replace: bool) -> list[Finding]:
    """Before an import is published: refuse what would make an evaluation useless, or have it put away.

    Args:
        layout: Of the bundle.
        staging: Holds the new testing images.
        secret: Holds the new reference.
        replace: Whether the evaluation may be put away.

    Returns:
        Where it is put away; empty where nothing is.

    Raises:
        DataError: Submissions were evaluated on other data, and the evaluation may not be put away.
    """
    taken, scored = count_evaluated(layout)
    change = _change(layout, staging / layout.testing_data.name, secret / solution_name("testing"))
    if not taken or not change:
        return []
    if not replace:
        raise DataError(
            f"{change}, and {taken} submissions were evaluated on those that are there ({scored} scored):"
            " nothing was imported",
            layout.evaluation,
            code="evaluation-of-other-data",
            hint=(
                "correct classes with `data relabel`, import into another bundle (--bundle), or let --replace"
                " put this evaluation away, into .bundle/archive/"
            ),
        )
    boards = [layout.leaderboards, *layout.former_leaderboards]
    sources = [layout.evaluation, *boards, layout.solution_csv("testing"), layout.reference_task_json]
    folder = put_away(layout, sources, layout.archive)
    message = (
        f"{change}: the evaluation of {taken} submissions ({scored} scored) was put away, into"
        f" {folder.relative_to(layout.root)}/, without what --database keeps elsewhere"
    )
    hint = "give a new --database, if you use one"
    return [Finding("evaluation-put-away", WARNING, "", message, hint)]


def _change(layout: Layout, images: Path, reference: Path) -> str:
    """What an import changes of the data that submissions are evaluated on; empty if nothing."""
    try:
        before = layout.tested_on.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        before = hash_folder(layout.testing_data) if layout.testing_data.is_dir() else ""
    if hash_folder(images) != before:
        return "the import changes the testing images"
    old_path = layout.solution_csv("testing")
    if not old_path.is_file():
        return ""
    old, new = read_reference(old_path), read_reference(reference)
    changed = sum(old.label_of.get(name) != label for name, label in new.label_of.items())
    if changed:
        return f"the import changes the label of {changed} testing images"
    is_same = (old.task.name, old.class_names) == (new.task.name, new.class_names)
    return "" if is_same else "the import changes the task or the order of its classes"
