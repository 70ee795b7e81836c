"""What the commands draw on the terminal: tables on stdout, progress and notices on stderr. rich loads when something is drawn."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import typer

from hp_core.progress import Notice, Progress, Stage, StageClock, TrainingStep

Value = TypeVar("Value")


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table(*columns, title=title)
    for row in rows:
        drawn.add_row(*row)
    Console().print(drawn)


def figures(title: str, columns: list[str], rows: list[list[str]], facts: dict[str, Any], as_json: bool) -> None:
    """Print ``facts`` as JSON, or ``rows`` as a table."""
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        table(title, columns, rows)


class Bars:
    """Draws the stages' progress on stderr, keeps their times and notices."""

    def __init__(self, *, quiet: bool):
        import rich.progress
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.quiet = quiet
        columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self.progress = rich.progress.Progress(*columns, console=Console(stderr=True), disable=quiet)
        self.tasks: dict[str, Any] = {}
        self.clock = StageClock()
        self.notices: list[str] = []

    @property
    def seconds(self) -> dict[str, float]:
        """By stage."""
        return self.clock.seconds

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        if self.progress.live.is_started:
            self.progress.stop()

    def run(self, stage: Stage[Value]) -> Value:
        """Drain a stage; its value."""
        self.clock.start()
        while True:
            try:
                event = next(stage)
            except StopIteration as end:
                return end.value
            if isinstance(event, Notice):
                self.notices.append(event.text)
                if not self.quiet:
                    self.progress.console.print(f"[yellow]Note:[/yellow] {event.text}")
                continue
            if isinstance(event, TrainingStep):
                if not self.quiet:
                    self._line(event)
                continue
            self.show(event)
            self.clock.note(event)

    def show(self, event: Progress) -> None:
        """Move the bar of a `Progress`' stage."""
        self.progress.start()  # not before there is something to draw: an empty display still ends its line
        if event.stage not in self.tasks:
            self.tasks[event.stage] = self.progress.add_task(event.stage, total=event.total)
        self.progress.update(self.tasks[event.stage], completed=event.done, total=event.total)

    def _line(self, event: TrainingStep) -> None:
        """One line of a training run: step, figures, time left."""
        left = "" if event.seconds_left is None else f"  {event.seconds_left / 3600:.1f} h left"
        values = "  ".join(f"{name} {value:.4g}" for name, value in event.metrics.items())
        self.progress.console.print(f"{event.step}/{event.steps}  {values}{left}", highlight=False, soft_wrap=True)
