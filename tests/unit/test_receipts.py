"""Receipts: their fields, their signature, and that every change is found; without any engine."""

import copy
import json
import shutil
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from challenge_bundle.cli import main
from challenge_bundle.errors import DataError
from challenge_bundle.evaluation.context import Context, read_context, steps_dir, zips_dir
from challenge_bundle.evaluation.intake import kept_file
from challenge_bundle.evaluation.receipts import (
    STORED_STEPS,
    check_scores,
    check_stored,
    is_receipt_current,
    receipt_path,
)
from challenge_bundle.evaluation.records import Records, Row
from challenge_bundle.evaluation.signing import key_path, keyed_digest, public_text, sign, signing_key
from challenge_bundle.evaluation.step_cache import make_key
from challenge_bundle.evaluation.stored_scores import scoring_dir
from challenge_bundle.files import hash_file
from challenge_bundle.findings import Finding
from challenge_bundle.formats.receipt import FULL, PUBLIC, differing, read_receipt
from challenge_bundle.layout import RESULTS_NAME, Layout
from challenge_bundle.settings import read_manifest
from tests.evaluations import (
    ENGINE,
    LIMITS,
    MANIFEST,
    make_context,
    open_records,
    put_scored,
    reread,
    scoring_engine,
    wrong_in,
)

Receipt = dict[str, Any]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with one submission that has an error in each part; made once, for scoring takes seconds."""
    context = make_context(tmp_path_factory.mktemp("template") / "bundle")
    errors = {min(names) for names in context.test_splits.values()}
    with closing(open_records(context)) as records:
        put_scored(context, records, 1, wrong_in(context, frozenset(errors)))
    return context.layout.root


@pytest.fixture
def context(template: Path, tmp_path: Path) -> Context:
    root = shutil.copytree(template, tmp_path / "bundle")
    return read_context(read_manifest(root / "bundle.toml"), Layout(root))


@pytest.fixture
def row(records: Records) -> Row:
    return records.rows()[0]


def read(context: Context, row: Row, kind: str = FULL) -> Receipt:
    return read_receipt(receipt_path(context.layout, row.submission.id, kind))


def bad(findings: list[Finding]) -> set[str]:
    return {finding.location for finding in differing(findings)}


@pytest.mark.parametrize("kind", [FULL, PUBLIC])
def test_a_receipt_is_as_it_was_written(context: Context, records: Records, row: Row, kind: str) -> None:
    receipt = read(context, row, kind)
    checks = check_stored(context, records, receipt)
    assert bad(checks) == set()
    # Every leaf of the receipt is compared: none of them is only written.
    assert len(checks) == 1 + count_leaves({k: v for k, v in receipt.items() if k != "signature"})
    again = check_scores(context, scoring_engine(), records, receipt)
    assert bad(again) == set()
    assert "scored again, public: weighted f1" in {finding.location for finding in again}
    assert list((context.layout.evaluation / "work").iterdir()) == []


def count_leaves(value: Any) -> int:
    return sum(map(count_leaves, value.values())) if isinstance(value, dict) and value else 1


def test_the_fields_of_a_receipt(context: Context, records: Records, row: Row) -> None:
    receipt = read(context, row)
    submission = row.submission
    assert receipt["submission"] == {
        "id": submission.id,
        "sha256": submission.sha256,
        "team": "team 1",
        "method": "m",
        "file_name": "1.zip",
        "received": "2026-03-01T00:00:00Z",
    }
    key = signing_key(context.layout)
    scores = {
        part: hash_file(
            steps_dir(context.layout, "scoring")
            / records.steps(submission.id)["scoring"][0]
            / part
            / "scores.json"
        )
        for part in ("public", "final")
    }
    private = {
        f"{part}/{name}": hash_file(scoring_dir(context, records, row, part) / name)
        for part in ("public", "final")
        for name in ("cases.csv", "resamples.npz")
    }
    assert receipt["digests"] == {
        "image": f"sha256:{1:064x}",
        "results": row.results_sha256,
        "testing_images": keyed_digest(key, "testing images", context.testing_sha256),
        "reference": keyed_digest(key, "reference", context.reference_sha256),
        "scoring_program": context.scoring_sha256,
        **{f"scores_{part}": keyed_digest(key, f"scores {part}", digest) for part, digest in scores.items()},
        **{name: keyed_digest(key, name, digest) for name, digest in private.items()},
    }
    assert (receipt["bundle"], receipt["kind"]) == ("tiny", FULL)
    assert receipt["versions"]["engine"] == ENGINE
    assert receipt["versions"].keys() == {"challenge-bundle", "python", "engine"}
    assert receipt["resources"].keys() == {
        "image_bytes",
        "inference_seconds",
        "inference_cpu_seconds",
        "inference_peak_memory_bytes",
        "scoring_seconds",
    }
    assert receipt["limits"]["inference"] == LIMITS
    assert receipt["limits"]["scoring"]["time_s"] == 600
    assert receipt["resources"]["inference_seconds"] == 1.5
    assert receipt["resources"]["inference_cpu_seconds"] == 1.25
    assert receipt["resources"]["inference_peak_memory_bytes"] == 2048
    assert receipt["resources"]["image_bytes"] == 1000
    assert receipt["scores"].keys() == {"public", "final"}
    # One of three images of each class is wrong in each part.
    assert receipt["scores"]["final"]["accuracy"] == pytest.approx(5 / 6)
    assert (receipt["phase"], receipt["verdict"]) == ("development", "scored")


@pytest.mark.parametrize("kind", [FULL, PUBLIC])
def test_a_receipt_is_current_if_both_are_there_in_this_form(context: Context, row: Row, kind: str) -> None:
    assert is_receipt_current(context.layout, row.submission.id)
    assert not is_receipt_current(context.layout, "0" * 64)
    path = receipt_path(context.layout, row.submission.id, kind)
    text = path.read_text()
    path.write_text('{"receipt": 1}')
    assert not is_receipt_current(context.layout, row.submission.id)
    path.unlink()
    assert not is_receipt_current(context.layout, row.submission.id)
    path.write_text(text)
    assert is_receipt_current(context.layout, row.submission.id)


def test_a_public_receipt_has_nothing_of_the_private_split(
    context: Context, records: Records, row: Row
) -> None:
    receipt = read(context, row, PUBLIC)
    assert receipt["scores"].keys() == {"public"}
    assert "final" not in json.dumps(receipt)
    # Nor what a made-up probability, or the time a program takes, could reveal of the test set.
    assert receipt["scores"]["public"].keys() == {"weighted_f1"}
    assert not [name for name in receipt["digests"] if "cases" in name or "resamples" in name]
    assert receipt["resources"] == {"image_bytes": 1000}
    assert receipt["digests"]["results"] not in (row.results_sha256, read(context, row)["digests"]["results"])
    assert read(context, row)["digests"]["results"] == row.results_sha256
    assert {"accuracy", "macro_f1", "weighted_f1"} <= read(context, row)["scores"]["public"].keys()
    full = receipt_path(context.layout, row.submission.id)
    assert stat.S_IMODE(full.stat().st_mode) == 0o600
    assert receipt_path(context.layout, row.submission.id, PUBLIC) != full


def test_no_digest_lets_others_test_a_guess(context: Context, records: Records, row: Row) -> None:
    """Who knows the tool and guesses the reference must not see in a receipt that he is right."""
    texts = [receipt_path(context.layout, row.submission.id, kind).read_text() for kind in (FULL, PUBLIC)]
    hidden = {context.reference_sha256, context.testing_sha256}
    key = records.steps(row.submission.id)["scoring"][0]
    hidden |= {key, context.score_key(row.results_sha256), *context.reference_files.values()}
    for part in context.test_splits:
        folder = scoring_dir(context, records, row, part)
        hidden |= {hash_file(folder / name) for name in ("scores.json", "cases.csv", "resamples.npz")}
    hidden |= {make_key("reference", secret) for secret in list(hidden)}
    assert len(hidden) >= 10
    for text in texts:
        assert not [secret for secret in hidden if secret in text]
    # Another bundle with the same data has other digests.
    context.layout.state.joinpath("keys").rename(context.layout.state / "other-keys")
    put_scored(context, records, 2, dict(context.reference.label_of))
    (other,) = [one for one in records.rows() if one.submission.team == "team 2"]
    assert read(context, other)["digests"]["reference"] != read(context, row)["digests"]["reference"]


def change(document: Receipt, path: tuple[str, ...], value: Any) -> Receipt:
    changed = copy.deepcopy(document)
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return changed


CHANGES: list[tuple[tuple[str, ...], Any, str]] = [
    (("bundle",), "other", "bundle"),
    (("phase",), "final", "phase"),
    (("verdict",), "time", "verdict"),
    (("submission", "team"), "Other", "submission, team"),
    (("submission", "method"), "", "submission, method"),
    (("submission", "file_name"), "y.zip", "submission, file name"),
    (("submission", "received"), "2026-02-01T00:00:00Z", "submission, received"),
    (("submission", "sha256"), "0" * 64, "submission, sha256"),
    (("digests", "image"), "sha256:" + "0" * 64, "digests, image"),
    (("digests", "results"), "0" * 64, "digests, results"),
    (("digests", "testing_images"), "0" * 64, "digests, testing images"),
    (("digests", "reference"), "0" * 64, "digests, reference"),
    (("digests", "scoring_program"), "0" * 64, "digests, scoring program"),
    (("digests", "scores_public"), "0" * 64, "digests, scores public"),
    (("digests", "scores_final"), "0" * 64, "digests, scores final"),
    (("digests", "more"), "0" * 64, "digests, more"),
    (("limits", "inference", "time_s"), 7, "limits, inference, time s"),
    (("limits", "inference", "cpus"), 1, "limits, inference, cpus"),
    (("limits", "scoring", "memory_mb"), 1, "limits, scoring, memory mb"),
    (("resources", "image_bytes"), 999, "resources, image bytes"),
    (("resources", "inference_seconds"), 1.4, "resources, inference seconds"),
    (("resources", "inference_cpu_seconds"), 0, "resources, inference cpu seconds"),
    (("resources", "inference_peak_memory_bytes"), 2047, "resources, inference peak memory bytes"),
    (("resources", "energy"), 1, "resources, energy"),
    (("scores", "public", "accuracy"), 1.0, "scores, public, accuracy"),
    (("scores", "final", "weighted_f1"), 0.1, "scores, final, weighted f1"),
    (("scores", "public", "more"), 1.0, "scores, public, more"),
    (("scores", "all"), {"accuracy": 1.0}, "scores, all, accuracy"),
]


@pytest.mark.parametrize(("path", "value", "what"), CHANGES, ids=[what for _, _, what in CHANGES])
def test_every_change_is_named_signed_or_not(
    context: Context,
    records: Records,
    row: Row,
    path: tuple[str, ...],
    value: Any,
    what: str,
    tmp_path: Path,
) -> None:
    receipt = read(context, row)
    changed = change(receipt, path, value)
    target = tmp_path / "changed.json"
    target.write_text(json.dumps(changed))
    assert bad(check_stored(context, records, read_receipt(target))) == {"signature", what}
    # Even if the organiser's own key has signed it: the stored data differ.
    del changed["signature"]
    signed = sign(signing_key(context.layout), changed)
    assert bad(check_stored(context, records, signed)) == {what}


def test_emptied_scores_and_an_added_private_split_are_named(
    context: Context, records: Records, row: Row
) -> None:
    receipt = read(context, row)
    names = {
        f"scores, {part}, {name.replace('_', ' ')}"
        for part in context.test_splits
        for name in receipt["scores"][part]
    }
    assert len(names) > 16
    emptied = bad(check_stored(context, records, receipt | {"scores": {}}))
    assert emptied == names | {"signature", "scores"}
    without = receipt | {"scores": {"public": receipt["scores"]["public"]}}
    found = bad(check_stored(context, records, without))
    assert found == {"signature"} | {name for name in names if name.startswith("scores, final")}
    public = read(context, row, PUBLIC)
    added = public | {"scores": public["scores"] | {"final": {"accuracy": 1.0}}}
    assert bad(check_stored(context, records, added)) == {"signature", "scores, final, accuracy"}
    # A public receipt that is called a full one lacks the private split, and the other way round.
    assert "scores, final, accuracy" in bad(check_stored(context, records, public | {"kind": FULL}))
    assert "scores, final, accuracy" in bad(check_stored(context, records, receipt | {"kind": PUBLIC}))


def test_versions_are_covered_by_the_signature_alone(context: Context, records: Records, row: Row) -> None:
    receipt = read(context, row)
    changed = receipt | {"versions": receipt["versions"] | {"engine": "other"}}
    assert bad(check_stored(context, records, changed)) == {"signature"}


def test_a_key_of_ones_own_signs_nothing(context: Context, records: Records, row: Row) -> None:
    body = {name: value for name, value in read(context, row).items() if name != "signature"}
    forged = sign(Ed25519PrivateKey.generate(), body)
    assert bad(check_stored(context, records, forged)) == {"signature"}


def test_what_changed_in_the_bundle_is_named(context: Context, records: Records, row: Row) -> None:
    receipt = read(context, row)
    zip_path = kept_file(zips_dir(context.layout), row.submission.sha256)
    content = zip_path.read_bytes()
    zip_path.write_bytes(content + b"x")
    assert bad(check_stored(context, records, receipt)) == {"submission, sha256"}
    zip_path.unlink()
    assert bad(check_stored(context, records, receipt)) == {STORED_STEPS}
    zip_path.write_bytes(content)
    path = context.layout.solution_csv("testing")
    original = path.read_text()
    path.write_text(original.replace("000.png,A", "000.png,B"))
    assert bad(check_stored(reread(context), records, receipt)) == {"digests, reference"}
    scored = check_scores(reread(context), scoring_engine(), records, receipt)
    assert "scored again, public: scores.json" in bad(scored) or "scored again, final: scores.json" in bad(
        scored
    )
    path.write_text(original)
    image = context.layout.testing_data / "001.png"
    image.write_bytes(image.read_bytes() + b"x")
    assert bad(check_stored(reread(context), records, receipt)) == {"digests, testing images"}


def test_limits_are_those_that_held(context: Context, records: Records, row: Row) -> None:
    """Limits in bundle.toml that were raised later are not those of the receipt."""
    receipt = read(context, row)
    context.layout.manifest.write_text(MANIFEST + "\n[inference]\ntime_s = 9999\n[scoring]\ntime_s = 9999\n")
    assert reread(context).bundle.limits["inference"].time_s == 9999
    assert bad(check_stored(reread(context), records, receipt)) == set()


def test_a_damaged_csv_is_named(context: Context, records: Records, row: Row) -> None:
    key, _ = records.steps(row.submission.id)["inference"]
    results = steps_dir(context.layout, "inference") / key / RESULTS_NAME
    results.write_text(
        results.read_text().replace("000.png,B", "000.png,A").replace("001.png,B", "001.png,A")
    )
    (found,) = differing(check_stored(context, records, read(context, row)))
    assert (found.code, found.location) == ("damaged-step", STORED_STEPS)
    assert str(results) in found.message


def test_an_unknown_submission_is_an_error(context: Context, records: Records, row: Row) -> None:
    receipt = read(context, row)
    unknown = receipt | {"submission": receipt["submission"] | {"id": "0" * 64}}
    found = check_stored(context, records, unknown)
    assert [finding.code for finding in found] == ["wrong-signature", "unknown-submission"]


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        (("receipt",), 3, "receipt is 3, expected 2"),
        (("receipt",), 2.0, "receipt is 2.0, expected 2"),
        (("receipt",), True, "receipt is True, expected 2"),
        (("receipt",), 1, "of an older version"),
        (("kind",), ["full"], r"kind is \['full'\], expected str"),
        (("submission",), [], "submission is not an object"),
        (("submission", "id"), 3, "submission.id is 3, expected str"),
        (("submission", "more"), "x", "submission has the unknown field 'more'"),
        (("digests",), "x", "digests is not an object"),
        (("digests", "image"), None, "digests.image is None, expected str"),
        (("digests", "\x1b[2J"), "x", r"digests has the unknown field '\\x1b\[2J'"),
        (("limits", "inference", "time_s"), "6", "limits.inference.time_s is '6', expected int or float"),
        (("limits", "inference", "time_s"), True, "limits.inference.time_s is True"),
        (("scores", "public"), [1.0], "scores.public is not an object"),
        (("scores", "public", "accuracy"), {"a": {}}, "scores.public.accuracy is"),
        (("signature",), None, "signature is not an object"),
        (("signature", "value"), "0" * 127, "signature.value is '0000"),
        (("extra",), 1, "the document has the unknown field 'extra'"),
    ],
    ids=range(18),
)
def test_another_document_is_refused_in_a_line(
    context: Context, row: Row, tmp_path: Path, path: tuple[str, ...], value: Any, word: str
) -> None:
    target = tmp_path / "changed.json"
    target.write_text(json.dumps(change(read(context, row), path, value)))
    with pytest.raises(DataError, match=word) as caught:
        read_receipt(target)
    assert caught.value.code == ("unsigned-receipt" if word == "of an older version" else "not-a-receipt")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"[]", b"[[[[1]]]]", b"null", b'"x"', b"{}", b"\xff", b"[" * 9999])
def test_no_receipt_at_all(tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "x.json"
    target.write_bytes(content)
    with pytest.raises(DataError, match=r"x.json: not"):
        read_receipt(target)


@pytest.mark.parametrize(
    "name", ["receipt", "kind", "submission", "digests", "scores", "signature", "limits"]
)
def test_a_missing_field_is_named(context: Context, row: Row, tmp_path: Path, name: str) -> None:
    receipt = read(context, row)
    del receipt[name]
    target = tmp_path / "x.json"
    target.write_text(json.dumps(receipt))
    with pytest.raises(DataError, match=f"the document lacks '{name}'"):
        read_receipt(target)


def verify(context: Context, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["--bundle", str(context.layout.root), "verify", *map(str, arguments)])


def test_whoever_has_the_public_key_checks_the_signature(context: Context, row: Row, tmp_path: Path) -> None:
    public = tmp_path / "key.pem"
    public.write_text(public_text(signing_key(context.layout).public_key()))
    receipt = receipt_path(context.layout, row.submission.id, PUBLIC)
    nowhere = CliRunner().invoke(
        main, ["--bundle", str(tmp_path), "verify", str(receipt), "--public-key", str(public)]
    )
    assert (nowhere.exit_code, nowhere.output) == (0, "same    signature\n")
    without_key = CliRunner().invoke(main, ["--bundle", str(tmp_path), "verify", str(receipt)])
    assert without_key.exit_code == 1
    assert "--public-key FILE" in without_key.output
    changed = tmp_path / "changed.json"
    changed.write_text(receipt.read_text().replace('"team 1"', '"team 2"'))
    found = verify(context, changed, "--public-key", public)
    assert found.exit_code == 1
    assert "DIFFERS signature: made with another key, or the receipt was changed" in found.output
    key_path(context.layout).unlink()
    public.write_text(public_text(signing_key(context.layout).public_key()))
    assert verify(context, receipt, "--public-key", public).exit_code == 1


def test_verify_prints_json(context: Context, row: Row, tmp_path: Path) -> None:
    public = tmp_path / "key.pem"
    public.write_text(public_text(signing_key(context.layout).public_key()))
    receipt = receipt_path(context.layout, row.submission.id, PUBLIC)
    good = json.loads(verify(context, receipt, "--public-key", public, "--json").stdout)
    assert good["valid"] is True
    assert [(check["code"], check["location"]) for check in good["checks"]] == [("same", "signature")]
    receipt.write_text(receipt.read_text().replace('"team 1"', '"team 2"'))
    found = verify(context, receipt, "--public-key", public, "--json")
    assert found.exit_code == 1
    document = json.loads(found.stdout)
    assert document["error"]["code"] == "receipt-differs"
    assert [check["code"] for check in document["result"]["checks"]] == ["wrong-signature"]


def test_verify_without_a_csv_of_that_digest_scores_nothing(
    context: Context, row: Row, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(change(read(context, row), ("digests", "results"), "0" * 64)))
    found = verify(context, changed)
    assert found.exit_code == 1
    assert "DIFFERS digests, results" in found.output
    assert "scored again" not in found.output
    assert "Traceback" not in found.output
