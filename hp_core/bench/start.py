"""What importing the package costs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any


def import_time() -> dict[str, Any]:
    """Seconds that `import hp_core` takes in a fresh interpreter, best of five, and the heavy libraries it brought in."""
    code = (
        "import sys, time; t = time.perf_counter(); import hp_core; s = time.perf_counter() - t; "
        "print(s, *[m for m in ('torch', 'diffusers', 'numpy', 'cv2', 'mediapipe') if m in sys.modules])"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() for _ in range(5)]
    return {"seconds": min(float(run[0]) for run in runs), "imported": sorted({name for run in runs for name in run[1:]})}
