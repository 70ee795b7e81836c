"""A manifest of two systems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.manifests import clip, manifest


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two pairs, judged of two systems: `near`, 2 grey levels off in the first pair and 4 in the second, and `far`, 20 and 40."""
    rows = []
    for pair in range(2):
        truth = clip(pair)
        np.save(tmp_path / f"truth{pair}.npy", truth)
        for system, off in (("near", 2), ("far", 20)):
            np.save(tmp_path / f"{system}{pair}.npy", truth + np.uint8(off * (pair + 1)))
            rows.append({"pair": f"p{pair}", "system": system, "result": f"{system}{pair}.npy", "truth": f"truth{pair}.npy"})
    return manifest(tmp_path / "m.csv", rows)
