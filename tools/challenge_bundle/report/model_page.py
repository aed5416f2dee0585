"""The report of the bundle's own model: the scoring program's page, then its images and its training."""

import base64
import csv
import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import NamedTuple

from challenge_bundle.errors import DataError
from challenge_bundle.files import hash_file, write_text
from challenge_bundle.formats.csv_lines import base_name
from challenge_bundle.formats.model_json import read_model_json
from challenge_bundle.formats.reference import Reference, read_reference
from challenge_bundle.formats.scores import Scores, WrongCase, read_scores
from challenge_bundle.formats.tasks import REGRESSION, LabelError, labels_of, parse_label, show_label
from challenge_bundle.image_io import READ_FAULTS, reading, thumbnail_url
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.runs.programs import TRAINING, output_files
from challenge_bundle.runs.stage_record import StageBook
from challenge_bundle.settings import Bundle
from challenge_bundle.templates import render

SHOWN_WRONG_CASES = 48
SHOWN_EXAMPLES = 6
THUMBNAIL_PX = 128

_STYLE = """
h3 { font-size: 1rem; margin: 1.2rem 0 0; }
figure:has(img) { display: inline-block; margin: 0 .6rem .8rem 0; vertical-align: top; max-width: 8.5rem; }
figure img { width: 128px; height: 128px; object-fit: contain; border-radius: .3rem;
  image-rendering: pixelated; }
figcaption { font-size: .8rem; color: var(--soft); overflow-wrap: anywhere; line-height: 1.3; }
.curves img { max-width: 100%; background: #fff; border-radius: .4rem; }
"""


_FOLDER = Path(__file__).resolve().parent

_ANCHORS = ("<title>Detailed results</title>", "</style>", "<h1>Detailed results</h1>", "</main>")
"""Where the scoring program's page is continued."""


class _Shown(NamedTuple):
    """A picture of the page: its caption, and a `data:` URL, empty if the file cannot be read."""

    caption: str
    url: str


def write_report(bundle: Bundle, layout: Layout, source: str) -> Path:
    """Make the report of the bundle's own model; one HTML file that needs nothing else.

    Args:
        bundle: The bundle.
        layout: Its paths.
        source: Where the images came from.

    Returns:
        Where it is.

    Raises:
        DataError: There are no scores or no predictions yet, or they are not of the data that are there.
    """
    # If it cannot be made, the earlier one must not pass for the report of what is there.
    layout.report_html.unlink(missing_ok=True)
    scores = read_scores(layout.scoring_output / "scores.json")
    tables = {split: read_reference(layout.solution_csv(split)) for split in SPLITS}
    _check_same_data(scores, tables["testing"], layout)
    page = _read_scoring_page(layout.scoring_output / "detailed_results.html") or _own_page(scores)
    title = escape(bundle.title)
    heading = render(
        _FOLDER / "model_heading.html.j2",
        bundle=bundle,
        source=source,
        testing_images=len(tables["testing"].label_of),
        reference=hash_file(layout.solution_csv("testing")),
        model=_model_digest(layout),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    sections = render(
        _FOLDER / "model_sections.html.j2",
        wrong_figures=_wrong_figures(scores, tables["testing"], layout),
        of_values=tables["testing"].task.name == REGRESSION,
        wrong_count=len(scores.wrong_cases),
        classes=_example_figures(tables, layout),
        curves=_training_curves(layout),
        model_rows=_model_rows(layout),
    )
    page = page.replace("<title>Detailed results</title>", f"<title>{title}</title>", 1)
    page = page.replace("</style>", _STYLE + "</style>", 1)
    page = page.replace("<h1>Detailed results</h1>", heading, 1)
    page = page.replace("</main>", sections + "\n</main>", 1)
    write_text(layout.report_html, page)
    return layout.report_html


def _read_scoring_page(path: Path) -> str:
    """The page of the scoring program; empty if it wrote none, or one that cannot be continued."""
    try:
        page = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return page if all(page.count(anchor) for anchor in _ANCHORS) else ""


def _own_page(scores: Scores) -> str:
    """A page with the scores of a scoring program that wrote none: an organiser's own."""
    return render(_FOLDER / "model_scores.html.j2", scores=scores)


def _check_same_data(scores: Scores, reference: Reference, layout: Layout) -> None:
    """Refuse scores of another reference: their images would be shown under the names of others.

    Raises:
        DataError: They do not fit.
    """
    path = layout.scoring_output / "scores.json"
    scored_at = path.stat().st_mtime_ns
    fits = (
        all(
            used.exists() and used.stat().st_mtime_ns <= scored_at
            for used in (layout.solution_csv("testing"), layout.submitted_csv)
        )
        and scores.cases in (None, len(reference.label_of))
        and (not scores.class_names or set(scores.class_names) == set(reference.class_names))
        and all(_is_of(case, reference) for case in scores.wrong_cases)
    )
    if not fits:
        raise DataError(
            "the scores are not of the reference and the predictions that are there",
            path,
            code="scores-outdated",
            hint="run `score` again",
        )


def _is_of(case: WrongCase, reference: Reference) -> bool:
    """Whether the reference says the same of a case, in whichever spelling."""
    task = reference.task.name
    try:
        return parse_label(task, case.reference) == parse_label(task, reference.label_of.get(case.file, ""))
    except LabelError:
        return False


def _wrong_figures(scores: Scores, reference: Reference, layout: Layout) -> list[_Shown]:
    return [
        _figure(layout.testing_data / case.file, f"{case.file}: {_answers(case, reference)}")
        for case in scores.wrong_cases[:SHOWN_WRONG_CASES]
    ]


def _answers(case: WrongCase, reference: Reference) -> str:
    """Reference and prediction as a caption has them: values with few digits, labels side by side."""
    if reference.task.name == REGRESSION:
        return f"{float(case.reference):.5g}, predicted {float(case.prediction):.5g}"
    shown = [
        show_label(", ".join(labels_of(reference.task.name, label)))
        for label in (case.reference, case.prediction)
    ]
    return f"{shown[0]}, predicted {shown[1]}"


def _example_figures(tables: Mapping[str, Reference], layout: Layout) -> list[tuple[str, str, list[_Shown]]]:
    """Of each class or label: its name, its number in each split, a few images; of values, some over all."""
    training = tables["training"]
    if training.task.name == REGRESSION:
        return [_value_examples(tables, layout)]
    of_label: dict[str, list[str]] = {name: [] for name in training.class_names}
    for name, label in training.label_of.items():
        for label_name in labels_of(training.task.name, label):
            of_label.setdefault(label_name, []).append(training.file_of[name])
    counts = {
        split: Counter(
            name for label in tables[split].label_of.values() for name in labels_of(training.task.name, label)
        )
        for split in SPLITS
    }
    return [
        (
            label_name,
            ", ".join(f"{counts[split][label_name]:,} {split}" for split in SPLITS),
            [_figure(layout.input_data / file, base_name(file)) for file in files[:SHOWN_EXAMPLES]],
        )
        for label_name, files in of_label.items()
    ]


def _value_examples(tables: Mapping[str, Reference], layout: Layout) -> tuple[str, str, list[_Shown]]:
    """Training images from the lowest value to the highest, at equal distances of rank."""
    training = tables["training"]
    names = sorted(training.label_of, key=lambda name: float(training.label_of[name]))
    count = min(SHOWN_EXAMPLES, len(names))
    chosen = [names[place * (len(names) - 1) // max(count - 1, 1)] for place in range(count)]
    return (
        "From the lowest value to the highest",
        ", ".join(f"{len(tables[split].label_of):,} {split}" for split in SPLITS),
        [
            _figure(
                layout.input_data / training.file_of[name], f"{name}: {float(training.label_of[name]):.5g}"
            )
            for name in chosen
        ],
    )


def _figure(path: Path, caption: str) -> _Shown:
    try:
        with reading(path) as opened:
            return _Shown(caption, thumbnail_url(opened, THUMBNAIL_PX))
    except READ_FAULTS:
        return _Shown(caption, "")


def _training_curves(layout: Layout) -> str:
    """Loss and score by epoch, as the URL of one picture, if the last training wrote them; else empty."""
    path = layout.model_output / "history.csv"
    if not StageBook(layout).made(TRAINING.name, path):
        return ""
    try:
        with path.open(encoding="utf-8", newline="") as opened:
            history = list(csv.DictReader(opened))
        epochs = [int(row["epoch"]) for row in history]
        losses = {
            name: [float(row[f"{name}_loss"]) for row in history] for name in ("training", "validation")
        }
        metric = next(
            (name for name in history[0] if name.startswith("validation_") and name != "validation_loss"), ""
        )
        scores = [float(row[metric]) for row in history]
    except (FileNotFoundError, KeyError, IndexError):
        return ""  # a participant's own program writes none, or one with other columns
    except (ValueError, TypeError) as fault:
        raise DataError(
            f"not a history as training writes it ({fault!r})",
            path,
            code="history-invalid",
            hint="run `train` again",
        ) from None
    title = metric.removeprefix("validation_").replace("_", " ")
    return _draw_curves(epochs, losses, scores, f"{title}, validation images")


def _draw_curves(
    epochs: Sequence[int], losses: dict[str, list[float]], scores: Sequence[float], title: str
) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "report", "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for name, values in losses.items():
            left.plot(epochs, values, label=name, marker=".")
        left.set(xlabel="epoch", title="loss")
        left.legend()
        right.plot(epochs, scores, color="tab:green", marker=".")
        right.set(xlabel="epoch", title=title)
        for axes in (left, right):
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
            axes.xaxis.get_major_locator().set_params(integer=True)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/svg+xml;base64,{data}"


def _model_digest(layout: Layout) -> str:
    """SHA-256 over the files that training promises, in hexadecimal."""
    digests = [hash_file(path) for path in output_files(TRAINING, layout) if path.is_file()]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _model_rows(layout: Layout) -> dict[str, object]:
    """What made the model, where training promises the file that names it."""
    path = layout.model_output / "model.json"
    if path not in output_files(TRAINING, layout):
        return {}
    card = read_model_json(path).document
    training = {key: value for key, value in dict(card.get("training", {})).items() if key != "network"}
    return (
        {"network": card.get("network")}
        | {f"training: {key}": value for key, value in training.items()}
        | {f"version: {key}": value for key, value in dict(card.get("versions", {})).items()}
    )
