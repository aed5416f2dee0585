"""The table of attacks."""

from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that prints the outcome of each attack."""
    parser.addoption("--attack-table", action="store_true", help="print a table of the attacks")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table of attacks."""
    if not config.getoption("--attack-table", default=False):
        return
    terminalreporter.write_line("\n| attack | verdict | message | seconds |\n|---|---|---|---|")
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        found = dict(report.user_properties)
        if report.when == "call" and "verdict" in found:
            attack = report.nodeid.split("[")[1].rstrip("]").replace("_", " ")
            failed = "" if report.passed else " (NOT AS EXPECTED)"
            row = (attack, found["verdict"] + failed, found["message"], f"{found['seconds']:.1f}")
            terminalreporter.write_line(f"| {' | '.join(row)} |")
