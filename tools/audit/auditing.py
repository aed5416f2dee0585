"""All checks of a data set, one after the other."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.audit.balance import find_imbalance
from tools.audit.base import SEVERITIES, AuditFinding, Check, ImageTable
from tools.audit.baselines import find_baselines
from tools.audit.contours import find_contour_faults
from tools.audit.copies import find_conflicts, find_copies
from tools.audit.groups import find_shared_groups
from tools.audit.near import find_near_copies
from tools.audit.reading import Progress, read_images
from tools.audit.shift import find_shift
from tools.audit.soundness import find_blank, find_odd_shapes, find_unreadable
from tools.audit.telling import find_telling
from tools.formats.groups import GroupRule
from tools.layout import Layout


@dataclass(frozen=True, slots=True)
class Audit:
    """What came of an audit.

    Args:
        images: What was looked at.
        findings: The worst first.
    """

    images: ImageTable
    findings: tuple[AuditFinding, ...]

    def count(self, severity: str) -> int:
        """How many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)


def audit_images(images: ImageTable, group: GroupRule | None, progress: Progress) -> Audit:
    """Make all checks.

    Args:
        images: All images of a bundle.
        group: Who is a patient; None takes what the import was told, else tries likely patterns.
        progress: Told of each check.
    """
    checks: tuple[tuple[str, Check], ...] = (
        ("unreadable files", find_unreadable),
        ("copies", find_copies),
        ("classes of copies", find_conflicts),
        ("patients", functools.partial(find_shared_groups, rule=group)),
        ("what tells the class", find_telling),
        ("near copies", find_near_copies),
        ("blank images", find_blank),
        ("sizes and modes", find_odd_shapes),
        ("classes", find_imbalance),
        ("shift", find_shift),
        ("trivial methods", find_baselines),
    )
    findings: list[AuditFinding] = []
    for done, (what, check) in enumerate(checks):
        progress(f"checking {what}", done, len(checks))
        # Without a single image, only what cannot be read is left to say.
        findings += check(images) if len(images) or check is find_unreadable else []
    return Audit(images, _sorted(findings))


def run_audit(layout: Layout, group: GroupRule | None, contours: Path | None, progress: Progress) -> Audit:
    """Read all images of a bundle and make all checks.

    Args:
        layout: Of the bundle.
        group: See audit_images.
        contours: Folder of the contours that belong to the images, if there are some.
        progress: Told of every image and check.
    """
    found = audit_images(read_images(layout, progress), group, progress)
    return (
        Audit(found.images, _sorted([*found.findings, *find_contour_faults(contours, progress)]))
        if contours
        else found
    )


def _sorted(findings: Sequence[AuditFinding]) -> tuple[AuditFinding, ...]:
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
