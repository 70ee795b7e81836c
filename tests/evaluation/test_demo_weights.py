"""The weights that come with the package, on the first of the held-out pairs: what `docs/demo-weights.md` says of all of them."""

from __future__ import annotations

from typing import Any

import pytest

from hp_core.evaluation.demo import evaluate_demo
from hp_core.evaluation.swap import evaluate_swap
from hp_core.progress import result
from hp_core.weights.catalog import DEMO_WEIGHTS

pytest.importorskip("skimage", reason="the extra evaluation is not installed")
pytest.importorskip("onnxruntime", reason="the extra identity is not installed")
pytestmark = pytest.mark.slow
PAIRS = 8


def judged(*systems: str, pairs: int = PAIRS, **options: Any) -> dict[str, Any]:
    return result(evaluate_demo(DEMO_WEIGHTS, pairs=pairs, device="cpu", only=systems, **options)).systems


def test_they_animate_people_they_never_saw() -> None:
    systems = judged("still", "warp", "model")
    scores = {name: {score: value["mean"] for score, value in system["scores"].items()} for name, system in systems.items()}
    model, still, warp = scores["model"], scores["still"], scores["warp"]
    assert model["psnr"] >= 29
    assert model["psnr_face"] >= 26
    assert model["psnr"] >= still["psnr"] + 9
    assert model["landmarks"] <= still["landmarks"] / 3
    assert model["landmarks"] <= warp["landmarks"]
    assert model["portrait_nearer"] == 1, "nearer to the portrait than to the driver, in every pair"
    assert model["flicker"] <= 1
    follows = {name: row["pooled"] for name, row in systems["model"]["correlation"]["truth"].items()}
    goals = {"yaw": 0.97, "roll": 0.97, "jaw": 0.93, "blink_left": 0.93, "blink_right": 0.93, "pitch": 0.9, "smile": 0.9}
    assert {name: follows[name] for name, goal in goals.items() if follows[name] < goal} == {}


def test_a_skeleton_halves_the_error_of_the_noses_way() -> None:
    """With the head's place hidden from the motion tokens, so that the pose alone tells it; of twice as many pairs, which differ more."""

    def way(pose: str) -> float:
        scores = judged("model", pairs=2 * PAIRS, pose=pose, translation="released")["model"]["scores"]
        return float(scores["nose_path"]["mean"])

    assert way("paper") <= way("released") / 2


def test_the_head_of_one_and_the_expression_of_another_come_through() -> None:
    rows = result(evaluate_swap(DEMO_WEIGHTS, pairs=PAIRS, device="cpu"))
    assert rows["jaw"]["own"]["pooled"] >= 0.85
    assert rows["yaw"]["own"]["pooled"] >= 0.85
