"""What `evaluate` would refuse of a submission, found without building or running anything."""

from datetime import UTC, datetime
from pathlib import Path

from challenge_bundle.dataset.summary import known_class_names
from challenge_bundle.evaluation.intake import check_sender
from challenge_bundle.findings import Finding
from challenge_bundle.formats.kit_json import KIT_NAME
from challenge_bundle.layout import Layout
from challenge_bundle.settings import Bundle
from challenge_bundle.submission.check import check_submission
from challenge_bundle.wheelhouse import read_rules


def find_refusals(path: Path, bundle: Bundle, layout: Layout) -> list[Finding]:
    """All that would be refused of a zip, by the rules that are known here.

    Args:
        path: The zip.
        bundle: The challenge's.
        layout: Of the organiser's bundle, of a participant's, or of a kit.
    """
    has_reference = layout.solution_csv("testing").exists()
    rules = read_rules(bundle, layout, layout.wheelhouse if has_reference else None)
    findings = check_submission(path, bundle.submission, known_class_names(bundle, layout), rules)
    has_kit = (layout.root / KIT_NAME).exists()
    return [*findings, *check_sender(path, bundle, datetime.now(UTC), has_kit)]
