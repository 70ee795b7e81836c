"""Ctrl-C and SIGTERM as a wish that the loop grants when its step is done."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ONE_SIGNAL = 3.0  # seconds within which several interrupts count as one


@contextmanager
def interrupts() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets; another one interrupts at once, unless it comes with the first: a launcher of several
    processes passes on what the terminal has told them already."""
    event, first = threading.Event(), 0.0
    if threading.current_thread() is not threading.main_thread():
        yield event  # signals reach the main thread alone
        return
    old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: Any) -> None:
        nonlocal first
        if not event.is_set():
            first = time.monotonic()
        elif time.monotonic() - first > _ONE_SIGNAL:
            raise KeyboardInterrupt
        event.set()

    for number in old:
        signal.signal(number, handle)
    try:
        yield event
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
