"""`hp-portrait evaluate` from a weights folder to a report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from hp_core.cli import app
from hp_core.errors import OptionError, PortraitError
from hp_core.evaluation import demo
from hp_core.evaluation.demo import evaluate_demo
from hp_core.progress import result

pytest.importorskip("skimage", reason="the extra evaluation is not installed")
QUICK = ("--device", "cpu", "--pairs", "2", "--frames", "3", "--steps", "1")


def evaluate(*arguments: object) -> Any:
    done = CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.slow
def test_untrained_weights_are_judged_from_end_to_end(demo_weights: Path, tmp_path: Path) -> None:
    facts = json.loads(evaluate("--weights", demo_weights, *QUICK, "--json", "-o", tmp_path / "report").stdout)
    assert list(facts["systems"]) == ["still", "warp", "model", "vae", "staring", "truth"]
    assert {name: facts["settings"][name] for name in ("pairs", "frames", "size", "steps", "trained", "identity")} == {
        "pairs": 2, "frames": 3, "size": 128, "steps": 1, "trained": False, "identity": "none",
    }  # fmt: skip
    psnr = {name: system["scores"]["psnr"]["mean"] for name, system in facts["systems"].items()}
    assert psnr["model"] < psnr["still"] < psnr["warp"] < psnr["truth"] == 100
    stored = json.loads((tmp_path / "report/report.json").read_text(encoding="utf-8"))
    assert {name: stored[name] for name in facts} == facts
    assert [(row["pair"], row["system"]) for row in stored["rows"]][:7] == [*((0, name) for name in facts["systems"]), (1, "still")]
    pictures = {path.name for path in (tmp_path / "report/strips").iterdir()}
    assert pictures == {
        f"{name}-{rank}.png" for name in ("still", "warp", "model", "vae", "staring") for rank in ("best", "median", "worst")
    }
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--swap", "-o", "report"), "writes no report"),
        (("--metrics", "psnr"), "--metrics is of results in files"),
        (("--seed", "3"), "--seed is of results in files"),
        (("--fvd-frames", "20"), "--fvd-frames is of results in files"),
        (("--protocol", "self"), "--protocol is of results in files"),
        (("--swap", "--only", "model"), "--only is of the held-out pairs alone"),
    ],
)
def test_options_that_would_be_dropped_are_refused(arguments: tuple[str, ...], message: str) -> None:
    done = CliRunner().invoke(app, ["evaluate", *arguments])
    assert message in str(done.exception)


def test_without_weights_the_baselines_are_judged_in_a_table(tmp_path: Path) -> None:
    out = evaluate("--weights", "none", "--pairs", 1, "--frames", 3).stdout
    assert "1 held-out pairs, 3 frames each" in out
    assert "PSNR, face (dB)" in out
    assert "correlation with the driving" in out
    assert "model" not in out
    assert not list(tmp_path.iterdir())


def test_one_system_can_be_judged_alone(tmp_path: Path) -> None:
    facts = json.loads(evaluate("--weights", "none", "--pairs", 1, "--frames", 3, "--only", "truth", "--only", "still", "--json").stdout)
    assert list(facts["systems"]) == ["still", "truth"]
    assert facts["differences"] == {}


@pytest.mark.slow
def test_the_model_sees_pixels_alone_and_the_seed_decides(demo_weights: Path) -> None:
    from hp_core.evaluation.animators import PipelineAnimator

    case = next(demo.demo_cases(1, 3, 128))
    animator = result(PipelineAnimator.load(demo_weights, steps=1, device="cpu"))
    animator.sampling = replace(animator.sampling, pad_frames=0)
    try:
        answers = [animator(case.portrait, case.driving, seed).frames for seed in (1, 1, 2)]
    finally:
        animator.close()
    assert (answers[0].shape, answers[0].dtype) == (case.truth.shape, np.uint8)
    assert np.array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": 0}, "pairs is 0"),
        ({"frames": 2}, "frames is 2; it must be at least 3"),
        ({"only": ("model",)}, "only is 'model'; choose one of: still, warp, staring, truth"),
        ({"steps": 4}, "no weights are named"),
        ({"device": "cpu"}, "no weights are named"),
        ({"pose": "paper"}, "pose is paper, and no weights"),
        ({"translation": "released"}, "translation is released, and no weights"),
    ],
)
def test_impossible_requests_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        next(evaluate_demo(**options))


def test_the_translation_can_be_hidden(demo_weights: Path) -> None:
    from hp_core.demo.world import HeldOutPair
    from hp_core.evaluation.animators import PipelineAnimator

    plain = result(PipelineAnimator.load(demo_weights, steps=1, device="cpu"))
    hiding = PipelineAnimator(plain.pipeline, translation="released")
    try:
        face = plain.track(HeldOutPair(0).driving(3, 256))
        shown, hidden = plain.motion(face), hiding.motion(face)
    finally:
        plain.close()
    assert shown.tokens[..., -3:].abs().max() > 0
    assert not hidden.tokens[..., -3:].any()
    assert np.array_equal(shown.tokens[..., :-3], hidden.tokens[..., :-3])


def test_a_report_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here first")
    with pytest.raises(PortraitError, match="is a file; name another"):
        next(evaluate_demo(report=tmp_path / "file"))


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PortraitError, match=r"scikit-image.*pip install scikit-image"):
        next(evaluate_demo())


def test_every_option_has_help() -> None:
    group: Any = typer.main.get_command(app)
    assert all(parameter.help for parameter in group.commands["evaluate"].params)


@pytest.mark.slow
def test_a_swap_is_judged_beside_the_exact_pictures(demo_weights: Path) -> None:
    rows = json.loads(
        evaluate("--weights", demo_weights, "--swap", "--device", "cpu", "--pairs", 3, "--frames", 8, "--steps", 1, "--json").stdout
    )
    assert list(rows) == ["jaw", "blink_left", "blink_right", "yaw", "pitch", "roll"]
    assert all(set(row) == {"own", "other", "played", "ceiling", "played_ceiling"} for row in rows.values())
    assert all(set(value) == {"pooled", "per_pair"} for row in rows.values() for value in row.values())
    assert rows["yaw"]["ceiling"]["pooled"] > 0.95, "the exact pictures turn as the one whose head they have"
    assert rows["yaw"]["played_ceiling"]["pooled"] > 0.95, "and as what was played says"
    own = rows["yaw"]["own"]["pooled"] or 0.0  # none where every frame reads alike
    assert abs(own) < rows["yaw"]["ceiling"]["pooled"], "untrained weights do not"
