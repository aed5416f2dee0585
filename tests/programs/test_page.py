"""The page of the results: what it says, with a template and without, and what it does not give away."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score, roc_curve

HOSTILE = '<script>alert("x")</script>&amp;\'{{ 7 * 7 }}'
TASKS = ("classification", "ordinal", "multilabel", "regression")
FEWEST = 5


@pytest.fixture
def program(program_module) -> SimpleNamespace:
    names = ("cases", "page", "page_charts", "page_data", "page_scores", "page_sections", "summary")
    return SimpleNamespace(**{name: program_module("scoring_program", name) for name in names})


@pytest.fixture(params=["with jinja2", "without jinja2"])
def layout_of_page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "without jinja2":
        monkeypatch.setitem(sys.modules, "jinja2", None)
    return request.param


def make_cases(cases: ModuleType, task: str, count: int = 200, class_names: tuple[str, ...] = ()) -> Any:
    """Predictions that are mostly right; the multilabel's last label has no positive case."""
    rng = np.random.default_rng(7)
    names = [f"secret-{number:04}.png" for number in range(count)]
    groups = np.arange(count) // 2
    if task == "regression":
        values = rng.gamma(2.0, 20.0, count)
        about = cases.Task(task)
        return cases.Cases(about, names, groups, values, values + rng.normal(2.0, 6.0, count))
    about = cases.Task(task, class_names or ("none", "mild", "moderate", "severe"))
    size = len(about.class_names)
    if task == "multilabel":
        labels = rng.random((count, size)) < 0.3
        labels[:, -1] = False
        probabilities = 1 / (1 + np.exp(-rng.normal(2.5 * labels - 1, 1.0)))
        return cases.Cases(about, names, groups, labels, probabilities >= 0.5, probabilities)
    reference = rng.integers(0, size, count)
    logits = rng.normal(size=(count, size))
    logits[np.arange(count), reference] += 2.0
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return cases.Cases(about, names, groups, reference, probabilities.argmax(axis=1), probabilities)


def render(
    program: SimpleNamespace, task: str, show_cases: bool = False, **options: Any
) -> tuple[Any, dict, str]:
    cases = make_cases(program.cases, task, **options)
    result = program.summary.score_cases(cases, "used", show_cases)
    return cases, result, program.page.render_page(cases, result)


class Tables(HTMLParser):
    """The text of each cell of each table, tags and spacing left out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open = self.hidden = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.open = True
        elif tag == "svg":
            self.hidden = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.open = False
            self.rows[-1][-1] = " ".join(self.rows[-1][-1].split())
        elif tag == "svg":
            self.hidden = False

    def handle_data(self, data: str) -> None:
        if self.open and not self.hidden:
            self.rows[-1][-1] += data + " "


def tables(page: str) -> list[list[str]]:
    return Tables(page).rows


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("show_cases", [False, True])
def test_the_same_tables_and_charts_without_jinja2(
    task: str, show_cases: bool, program: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases, result, fine = render(program, task, show_cases)
    assert "max-width: 64rem" in fine
    monkeypatch.setitem(sys.modules, "jinja2", None)
    plain = program.page.render_page(cases, result)
    assert "max-width: 64rem" not in plain
    assert tables(plain) == tables(fine)
    for element in ("h1", "h2", "title"):
        assert re.findall(f"<{element}>[^<]*", plain) == [
            found for found in re.findall(f"<{element}>[^<]*", fine) if found != "<title>Interval"
        ]
    charts = r'<figure>.*?(<svg class="chart".*?</svg>)'
    assert re.findall(charts, plain) == re.findall(charts, fine)


@pytest.mark.parametrize("task", TASKS)
def test_every_score_with_interval_unit_direction_and_definition(
    task: str, program: SimpleNamespace, layout_of_page: str
) -> None:
    _, result, page = render(program, task)
    details = result["details"]
    rows = {row[0].removesuffix(" (ranks)"): row for row in tables(page)}
    text = program.page_scores.number_text
    for name, value in result.items():
        if name == "details":
            continue
        about = details["metrics"][name]
        row = rows[about["title"]]
        assert row[1] == text(value)
        if name in details["intervals"]:
            low, high = details["intervals"][name]
            assert row[2].startswith(f"{text(low)} to {text(high)}")
        else:
            assert row[2] == "no interval: none is known that covers well"
        assert row[3] == ("unit of the values" if about["unit"] == "value" else about["unit"])
        assert row[4] == ("↑ higher is better" if about["higher_is_better"] else "↓ lower is better")
        for part in (name, about["policy"], f"Source: {about['source']}"):
            assert " ".join(part.split()) in row[5]
    assert page.count("(ranks)") == (details["metric"] in result)


def test_an_interval_that_does_not_cover_well_is_marked(
    program: SimpleNamespace, layout_of_page: str
) -> None:
    cases = make_cases(program.cases, "classification")
    result = program.summary.score_cases(cases, "used", False)
    result["details"]["intervals"]["accuracy"] = [0.5, 0.9]
    result["details"]["interval_notes"] = {"accuracy": "covers 88 % with so few cases"}
    rows = {row[0]: row for row in tables(program.page.render_page(cases, result))}
    assert rows["Accuracy"][2] == "0.5000 to 0.9000 (covers 88 % with so few cases)"


@pytest.mark.parametrize(("count", "is_said"), [(98, True), (100, False)])
def test_few_patient_groups_are_said(count: int, is_said: bool, program: SimpleNamespace) -> None:
    """Two images of each patient: 49 or 50 groups."""
    _, result, page = render(program, "regression", count=count)
    assert result["details"]["groups"] == count // 2
    assert f"{count} test cases of {count // 2} patient groups." in page
    assert ("With fewer than 50 patient groups they may be too narrow." in page) == is_said


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("show_cases", [False, True])
def test_loads_nothing_and_escapes_names(
    task: str, show_cases: bool, program: SimpleNamespace, layout_of_page: str
) -> None:
    names = () if task == "regression" else (HOSTILE, "b & c", "<img src=x>", '" onload="x')
    cases = make_cases(program.cases, task, class_names=names)
    cases.names[:] = [f"{number}{HOSTILE}" for number in range(len(cases.names))]
    result = program.summary.score_cases(cases, HOSTILE, show_cases)
    page = program.page.render_page(cases, result)
    assert HOSTILE not in page
    assert "<script" not in page
    assert "<img" not in page
    assert ' onload="x' not in page
    assert not re.search(r"(src|href)\s*=\s*[\"']|url\(|@import", page.replace("&lt;img src=x&gt;", ""))
    if names or show_cases:
        assert "{{ 7 * 7 }}" in page
    assert page.count("<svg") == page.count("</svg>") == page.count("<desc>")


@pytest.mark.parametrize("task", TASKS)
def test_no_case_is_shown_without_being_asked_for(
    task: str, program: SimpleNamespace, layout_of_page: str
) -> None:
    cases, _, page = render(program, task)
    assert "secret-" not in page
    assert 'class="case"' not in page
    if task == "regression":
        assert not any(f"{value:.4f}" in page or f"{value:.6g}" in page for value in cases.reference)
        told = [int(count.replace(",", "")) for count in re.findall(r"<title>([\d,]+) cases?</title>", page)]
        assert told
        assert min(told) >= FEWEST
        assert f"<title>1 to {FEWEST - 1} cases</title>" in page
    _, _, shown = render(program, task, show_cases=True)
    assert "secret-" in shown
    assert shown.count('class="case"') == (2 * len(cases.names) if task == "regression" else 0)
    if task != "regression":
        assert len(page) < len(shown)


def test_a_roc_curve_does_not_tell_cases_apart(program: SimpleNamespace) -> None:
    """With a step for each case, the ranks of one's own predictions would give the reference away."""
    rng = np.random.default_rng(3)
    for count in (12, 60, 1000):
        positive = rng.random(count) < 0.4
        score = rng.random(count)
        points = program.page_data.roc_points(positive, score, show_cases=False)
        steps = len(points) - 2
        assert steps <= min(20, max(int((~positive).sum()) // FEWEST, 1))
        assert (np.round(points, 2) == points).all()


@pytest.mark.parametrize("decimals", [1, 6])
def test_roc_points_against_scikit_learn(decimals: int, program: SimpleNamespace) -> None:
    rng = np.random.default_rng(4)
    positive = rng.random(3000) < 0.2
    score = np.round(rng.normal(positive, 1.0), decimals)
    points = program.page_data.roc_points(positive, score, show_cases=True)
    false_rate, true_rate, _ = roc_curve(positive, score, drop_intermediate=False)
    assert points[0].tolist() == [0.0, 0.0]
    assert points[-1].tolist() == [1.0, 1.0]
    for rate, height in points[2:-1]:
        after = int(np.searchsorted(false_rate, rate, side="right"))
        share = (rate - false_rate[after - 1]) / (false_rate[after] - false_rate[after - 1])
        expected = true_rate[after - 1] + share * (true_rate[after] - true_rate[after - 1])
        assert height == pytest.approx(expected, abs=6e-5)
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(roc_auc_score(positive, score), abs=2e-3)


@pytest.mark.parametrize("positive", [True, False])
def test_no_roc_curve_of_one_kind_of_case(positive: bool, program: SimpleNamespace) -> None:
    assert program.page_data.roc_points(np.full(9, positive), np.arange(9.0), True) is None


def test_calibration_against_scikit_learn_and_scipy(program: SimpleNamespace) -> None:
    rng = np.random.default_rng(5)
    predicted = rng.beta(2, 5, 200)
    came_true = rng.random(200) < predicted**1.5
    bins = program.page_data.calibration(predicted, came_true, show_cases=True)
    observed, means = calibration_curve(came_true, predicted, n_bins=10, strategy="uniform")
    assert [found.predicted for found in bins] == pytest.approx(means.tolist())
    assert [found.observed for found in bins] == pytest.approx(observed.tolist())
    assert sum(found.cases for found in bins) == 200
    for found in bins:
        interval = binomtest(round(found.observed * found.cases), found.cases).proportion_ci(method="wilson")
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    hidden = program.page_data.calibration(predicted, came_true, show_cases=False)
    assert hidden == [found for found in bins if found.cases >= FEWEST]
    assert len(hidden) < len(bins)


def test_limits_of_agreement(program: SimpleNamespace) -> None:
    found = program.page_data.agreement(np.array([1.0, 2.0, 3.0, 6.0]))
    assert found.bias == 3.0
    assert (found.low, found.high) == pytest.approx(
        (3 - 1.959964 * 2.160247, 3 + 1.959964 * 2.160247), abs=1e-5
    )
    assert program.page_data.agreement(np.array([2.0])) == (2.0, 2.0, 2.0)


def test_counts_of_a_grid(program: SimpleNamespace) -> None:
    """What lies beyond is in the outermost cells: nothing is lost, and predictions set no axis."""
    across, upwards = np.array([0.0, 0.99, 5.0, -3.0, 99.0]), np.array([0.0, 10.0, 5.0, -1e9, 1e9])
    counts = program.page_data.grid_counts(across, upwards, (0.0, 10.0), (0.0, 10.0))
    expected = np.zeros((10, 10), dtype=int)
    for column, row in ((0, 0), (0, 9), (5, 5), (0, 0), (9, 9)):
        expected[column, row] += 1
    assert counts.tolist() == expected.tolist()


def test_axes_of_a_participants_page_do_not_follow_the_predictions(program: SimpleNamespace) -> None:
    cases = make_cases(program.cases, "regression")
    result = program.summary.score_cases(cases, "", False)
    cases.predictions[:] = np.arange(len(cases.names)) * 1e6  # one case a column, if the axis followed
    page = program.page.render_page(cases, result)
    chart = page.split("<h2>Predictions against the reference</h2>")[1].split("</svg>")[0]
    assert {float(text) for text in re.findall(r'text-anchor="end">(\d+)<', chart)} <= {
        0,
        50,
        100,
        150,
        200,
        250,
    }


@pytest.mark.parametrize("low", [-7.3, 0.0, 0.0123, 1e5, 3.0])
@pytest.mark.parametrize("span", [0.0, 1e-4, 0.9, 13.0, 1e7])
def test_round_axes(low: float, span: float, program: SimpleNamespace) -> None:
    charts = program.page_charts
    begin, end = charts.nice_range(low, low + span)
    assert begin <= low + 1e-9
    assert end >= low + span - 1e-9
    assert end > begin
    ticks = charts.ticks(begin, end)
    assert 2 <= len(ticks) <= 8
    assert ticks[0] == pytest.approx(begin)
    assert ticks[-1] == pytest.approx(end)


def test_confusion_matrix_in_the_order_of_the_classes(program: SimpleNamespace, layout_of_page: str) -> None:
    names = ("severe", "none", "mild")
    _, result, page = render(program, "ordinal", class_names=names)
    rows = tables(page)
    start = rows.index(["true \\ predicted", *names])
    counts = result["details"]["confusion_matrix"]
    assert rows[start + 1 : start + 4] == [
        [name, *map(str, row)] for name, row in zip(names, counts, strict=True)
    ]
    far = re.findall(r"hsl\((\d+) ", page)
    assert set(far) == {"48", "0"}, "one rank off is yellow, two are red"


def test_very_many_classes(program: SimpleNamespace, layout_of_page: str) -> None:
    """No matrix of a million cells: the most frequent errors, and the first curves."""
    names = tuple(f"class {number}" for number in range(60))
    _, result, page = render(program, "classification", count=1500, class_names=names)
    assert "The first 24 of 60." in page
    assert (
        page.count("AUC" if "auc" in str(result["details"]["per_class"]) else "false positive rate</text>")
        >= 24
    )
    errors = np.array(result["details"]["confusion_matrix"])
    np.fill_diagonal(errors, 0)
    rows = tables(page)
    first = rows[rows.index(["true class", "predicted class", "cases"]) + 1]
    assert int(first[2]) == errors.max()
    assert len(page) < 400_000


def test_labels_without_a_positive_case_are_named(program: SimpleNamespace, layout_of_page: str) -> None:
    _, _, page = render(program, "multilabel")
    captions = re.findall(r"<figcaption>([^<:]+)", page)
    assert captions == ["none", "mild", "moderate"]
    assert "Without a positive case, and so without a curve: severe." in page


def test_a_ranking_score_that_is_not_defined(
    program_module, tmp_path: Path, capsys: pytest.CaptureFixture[str], layout_of_page: str
) -> None:
    """No label has a positive case in this test set: said, and no fault of the predictions."""
    for name, text in {
        "ref/task.json": '{"version": 1, "task": "multilabel", "class_names": ["A", "B"]}',
        "ref/testing_solution.csv": "file,A,B\na.png,0,0\nb.png,0,0\n",
        "res/mine.csv": "file,A,B\na.png,0.1,0\nb.png,0,0.2\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    status = program_module("scoring_program", "score").main([str(tmp_path), str(tmp_path / "output")])
    assert (status, capsys.readouterr().out) == (0, "macro auc is not defined for these cases\n")
    rows = tables((tmp_path / "output" / "detailed_results.html").read_text())
    assert "macro auc" in {row[0] for row in rows[rows.index(["score", "why"]) + 1 :]}


def test_censored_values_are_left_out_of_errors(program: SimpleNamespace) -> None:
    cases = make_cases(program.cases, "regression")
    events = np.arange(len(cases.names)) % 4 > 0
    some = program.cases.Cases(
        cases.task, cases.names, cases.groups, cases.reference, cases.predictions, None, events
    )
    page = program.page.render_page(some, program.summary.score_cases(some, "", True))
    assert page.count('class="case"') == 2 * int(events.sum())
    assert "50 cases whose value was censored are left out" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.91234567, "0.9123"),
        (0.0, "0.0000"),
        (-0.5, "\N{MINUS SIGN}0.5000"),
        (12.3456, "12.35"),
        (1234.5678, "1,234.57"),
        (12345.678, "12,346"),
        (1e16, "1e+16"),
        (0.0000123, "1.23e-05"),
    ],
)
def test_numbers(value: float, text: str, program: SimpleNamespace) -> None:
    assert program.page_scores.number_text(value) == text
