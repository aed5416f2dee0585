"""All checks of a data set, one after the other."""

import functools
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.audit.balance import find_imbalance
from challenge_bundle.audit.base import SEVERITIES, AuditFinding, Check, ImageTable
from challenge_bundle.audit.baselines import find_baselines
from challenge_bundle.audit.check_names import CHECKS
from challenge_bundle.audit.contours import find_contour_faults
from challenge_bundle.audit.duplicates import find_duplicates, find_label_conflicts
from challenge_bundle.audit.integrity import find_blank, find_modes, find_sizes, find_unreadable
from challenge_bundle.audit.metadata import find_metadata
from challenge_bundle.audit.near_duplicates import find_near_duplicates
from challenge_bundle.audit.patient_leaks import find_shared_groups
from challenge_bundle.audit.reading import read_images
from challenge_bundle.audit.shift import find_shift
from challenge_bundle.audit.shortcuts import find_shortcuts
from challenge_bundle.formats.group_rules import GroupRule
from challenge_bundle.layout import Layout
from challenge_bundle.progress import Progress


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit.

    Args:
        images: What was looked at.
        findings: The worst first.
        checks: Names of the checks that were made.
    """

    images: ImageTable
    findings: tuple[AuditFinding, ...]
    checks: tuple[str, ...]

    @property
    def partial(self) -> bool:
        """Whether some checks were not asked for."""
        return self.checks != tuple(CHECKS)

    def count(self, severity: str) -> int:
        """How many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)


def audit_images(
    images: ImageTable,
    group: GroupRule | None,
    progress: Progress,
    asked: Collection[str] = (),
    contours: Path | None = None,
) -> Audit:
    """Make all checks, or some.

    Args:
        images: All images of a bundle.
        group: Gives the patients; None takes those of the import, else tries likely patterns.
        progress: Called for each check.
        asked: Names of checks, as in CHECKS; empty asks for all. Whether files can be read is always checked.
        contours: Folder of the contours that belong to the images, if there are some.
    """
    checks = make_checks(group, contours, progress)
    made = tuple(name for name in CHECKS if not asked or name in asked or name == "unreadable")
    findings: list[AuditFinding] = []
    for done, name in enumerate(made):
        progress(f"checking {CHECKS[name]}", done, len(made))
        # Without a single image, only unreadable files are left to report.
        if len(images) or name == "unreadable":
            findings += checks[name](images)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Audit(images, tuple(findings), made)


def run_audit(
    layout: Layout,
    group: GroupRule | None,
    contours: Path | None,
    progress: Progress,
    asked: Collection[str] = (),
) -> Audit:
    """Read all images of a bundle and make the checks; see audit_images."""
    images = read_images(layout, progress, full=not asked or "baselines" in asked)
    return audit_images(images, group, progress, asked, contours)


def make_checks(group: GroupRule | None, contours: Path | None, progress: Progress) -> dict[str, Check]:
    """The checks by name."""
    return {
        "unreadable": find_unreadable,
        "copies": find_duplicates,
        "conflicts": find_label_conflicts,
        "groups": functools.partial(find_shared_groups, rule=group),
        "telling": find_shortcuts,
        "metadata": find_metadata,
        "near-copies": find_near_duplicates,
        "blank": find_blank,
        "sizes": find_sizes,
        "modes": find_modes,
        "balance": find_imbalance,
        "shift": find_shift,
        "baselines": find_baselines,
        "contours": lambda images: find_contour_faults(contours, progress) if contours else [],
    }
