"""Prints what the parity cases measured, so that a run shows how close it is and not only that it passed."""

from __future__ import annotations

REPORT: list[str] = []


def pytest_terminal_summary(terminalreporter) -> None:
    if REPORT:
        terminalreporter.section("parity with the released model")
        for line in REPORT:
            terminalreporter.write_line(line)
