"""What an import knows, made up for the tests of its checks; and findings by their codes."""

from collections.abc import Iterable, Mapping, Sequence

from challenge_bundle.dataset.import_state import ImportState
from challenge_bundle.dataset.previous_import import PreviousImport
from challenge_bundle.dataset.staging import StagedImage
from challenge_bundle.findings import Finding
from challenge_bundle.sources.base import Listing, SourceImage


def state_of(
    images: Sequence[SourceImage],
    patient_groups: Mapping[str, str] | None = None,
    staged: Sequence[StagedImage] = (),
    previous: Mapping[str, frozenset[str]] | None = None,
) -> ImportState:
    """What an import knows of these images, all of which are taken."""
    return ImportState(
        Listing(images), images, patient_groups or {}, PreviousImport(previous or {}), staged=staged
    )


def codes(findings: Iterable[Finding]) -> list[str]:
    """The codes of findings, in their order."""
    return [finding.code for finding in findings]


def of_code(findings: Iterable[Finding], code: str) -> Finding:
    """The one finding of a code."""
    (found,) = [finding for finding in findings if finding.code == code]
    return found
