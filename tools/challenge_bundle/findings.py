"""What a check finds: returned as a list, not raised, so that a person sees all at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Args:
        severity: `error`: it will be refused; `warning`: it will be accepted, and a person should know.
        where: The file, with its line if there is one.
        what: What was found, and what was expected.
        mend: What to do.
        code: The verdict that fits, if one says more than that the zip cannot be built.
    """

    severity: str
    where: str
    what: str
    mend: str
    code: str = ""

    def __str__(self) -> str:
        return f"{self.severity}: {self.where}: {self.what}; {self.mend}"
