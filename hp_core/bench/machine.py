"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from datetime import date
from pathlib import Path
from typing import Any

import torch


def machine() -> dict[str, Any]:
    """Processor, cores, accelerator, versions and the day, to stand beside figures."""
    facts: dict[str, Any] = {
        "date": date.today().isoformat(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if torch.cuda.is_available():
        facts["device"] = torch.cuda.get_device_name()
    elif torch.accelerator.is_available():
        facts["device"] = str(torch.accelerator.current_accelerator())
    return facts


def _processor() -> str:
    """Its name where the system tells (Linux), else the architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
