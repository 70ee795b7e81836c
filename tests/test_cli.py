"""The command line as a user meets it: help, every command, `animate` from files to a file, and what it says to bad input."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import typer
from PIL import Image
from safetensors.torch import load_file, save_file

from hp_core.cli import app
from hp_core.config import PortraitConfig
from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import render
from hp_core.image import load_image
from hp_core.video import VideoWriter, probe, read_frames

NTSC = Fraction(30000, 1001)
SIZE = 256
QUICK = ("--device", "cpu", "--pad-frames", "0", "--steps", "1", "--window", "4", "--overlap", "1")
COMMANDS = (
    *("animate", "download", "inspect", "convert", "init", "faces", "prepare", "train", "evaluate", "bench"),
    *("bench flops", "bench memory", "bench face", "bench faces", "bench import"),
)
SMALL = "hyportrait/image_proj.safetensors"

Run = Callable[..., tuple[int, str, str]]


def face(identity: int, size: int = SIZE) -> np.ndarray:
    return next(render(Identity.sample(identity), Performance.sample(identity, 1), size=size))


def write_video(path: Path, frames: Iterable[np.ndarray], **options: Any) -> Path:
    with VideoWriter(path, fps=NTSC, **options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """portrait.png; wide.png with a face left; two.png with a smaller one beside it; driving.mp4 of 6 frames and variants of it."""
    folder = tmp_path_factory.mktemp("media")
    Image.fromarray(face(3)).save(folder / "portrait.png")
    canvas = np.full((SIZE, 2 * SIZE, 3), 200, np.uint8)
    canvas[:, :SIZE] = face(3)
    Image.fromarray(canvas).save(folder / "wide.png")
    canvas[40:216, 300:476] = face(7, 176)
    Image.fromarray(canvas).save(folder / "two.png")
    frames = list(render(Identity.sample(5), Performance.sample(2, 6, 30), size=SIZE))
    empty = np.full_like(frames[0], 120)
    write_video(folder / "driving.mp4", frames)
    write_video(folder / "gap.mp4", [*frames[:2], empty, empty, *frames[4:]])
    write_video(folder / "faceless.mp4", [empty] * 3)
    write_video(folder / "one.mp4", frames[:1])
    return folder


@pytest.fixture
def animate(run: Run, media: Path, demo_weights: Path, tmp_path: Path) -> Run:
    """A quick `animate` into the empty folder ``out``: portrait, driving, further options."""
    (tmp_path / "out").mkdir()

    def call(portrait: object = "portrait.png", driving: object = "driving.mp4", *options: object) -> tuple[int, str, str]:
        given = [str(option) for option in options]
        if "-o" not in given:
            given += ["-o", str(tmp_path / "out/result.mp4")]
        if "--weights" not in given:
            given += ["--weights", str(demo_weights)]
        return run("animate", media / str(portrait), media / str(driving), *QUICK, *given)

    return call


def result(animate: Run, tmp_path: Path, *arguments: object) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What a run that succeeds says with --json, and the frames it wrote."""
    arguments = (*arguments, *("portrait.png", "driving.mp4")[len(arguments) :])
    code, out, err = animate(*arguments, "--json")
    assert code == 0, err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result.mp4"]
    return json.loads(out), list(read_frames(tmp_path / "out/result.mp4"))


def failure(animate: Run, tmp_path: Path, *arguments: object) -> str:
    """What a run says that is refused, without a traceback and without leaving anything behind."""
    code, out, err = animate(*arguments)
    assert (code, out) == (1, ""), err
    assert "Traceback" not in err
    assert "Error: " in err
    assert not list((tmp_path / "out").iterdir())
    return err.split("Error: ", 1)[1]


def tags(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        return {key.lower(): value for key, value in container.metadata.items()}


# Help and usage


def test_the_installed_command_runs() -> None:
    script = shutil.which("hp-portrait", path=str(Path(sys.executable).parent)) or shutil.which("hp-portrait")
    if script is None:
        pytest.skip("hp_core is on the path but not installed")
    done = subprocess.run([script, "download", "--for", "everything"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: --for is 'everything'; choose one of: animate, identity")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_for_all_its_options(command: str, run: Run) -> None:
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert f"hp-portrait {command} " in out.replace("\n", " ")
    node: Any = typer.main.get_command(app)
    for name in command.split():
        node = node.commands[name]
    shown = " ".join(out.split())
    for parameter in node.params:
        assert parameter.help, f"{parameter.name} has no help"
        assert " ".join(parameter.help.split()) in shown


def test_help_lists_every_command(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for command in COMMANDS[:10]:
        assert re.search(rf"│ {command} +[A-Z]", out)


def test_help_of_animate_names_the_released_value_of_each_sampling_option(run: Run) -> None:
    sampling = PortraitConfig.released().sampling
    released = {
        name: str(getattr(sampling, name)) for name in ("steps", "sampler", "window", "overlap", "shift", "pad_frames", "decode_chunk")
    }
    released |= {name: f"{getattr(sampling, name)[0]:g}" for name in ("appearance_guidance", "motion_guidance")}
    released |= {"intensity": PortraitConfig.released().motion.intensity}
    lines = run("animate", "--help")[1].splitlines()
    for name, value in released.items():
        (line,) = [line for line in lines if re.match(rf"│ +--{name.replace('_', '-')} ", line)]
        assert re.search(rf"Released: {value}\b", line), line


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--step", "3"], "--step"),
        (["animate", "a.png", "b.mp4"], "--output"),
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--steps", "many"], "--steps"),
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--sampler", "heun"], "heun"),
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--on-missing", "skip"], "skip"),
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--view", "all"], "all"),
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--intensity", "strong"], "strong"),
        (["convert", "a", "b", "--dtype", "int8"], "int8"),
        (["paint"], "paint"),
    ],
)
def test_a_usage_error_exits_with_2_and_names_it(arguments: list[str], named: str, run: Run) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert named in err
    assert "Traceback" not in err


# Weights


def test_init_inspect_and_convert(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("init", tmp_path / "w", "--preset", "demo", "--seed", "4")
    assert code == 0
    assert str(tmp_path / "w/hyportrait/unet.safetensors") in out.splitlines()
    code, out, err = run("init", tmp_path / "w")
    assert (code, out) == (1, "")
    assert f"{tmp_path / 'w'} already holds weights" in err
    assert run("convert", tmp_path / "w", tmp_path / "wide", "--dtype", "fp32")[0] == 0
    code, out, _ = run("inspect", tmp_path / "wide", "--json")
    facts = json.loads(out)
    assert (code, facts["loads"], facts["folder"]) == (0, True, str(tmp_path / "wide"))
    assert {row["dtype"] for row in facts["files"] if row["tensors"]} == {"float32"}
    code, out, _ = run("inspect", tmp_path / "w")  # a table this time
    assert code == 0
    assert "hyportrait/unet.safetensors" in out
    assert "float16" in out


def test_inspect_exits_with_1_where_animate_could_not_load(run: Run, demo_weights: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(demo_weights, tmp_path / "w", copy_function=os.link))
    (folder / SMALL).unlink()
    code, out, _ = run("inspect", folder, "--json")
    facts = json.loads(out)
    assert (code, facts["loads"]) == (1, False)
    assert {row["name"]: row["status"] for row in facts["files"]}["image_proj"] == "missing"


# Bench


def test_bench_flops_adds_up_the_branches_of_a_step(run: Run) -> None:
    code, out, _ = run("bench", "flops", "--preset", "demo", "--window", 2, "--appearance-guidance", 1.5, "--json")
    counts = json.loads(out)
    assert (code, counts["size"], counts["window"], counts["guidance"]) == (0, 128, 2, [1.5, 2.0])
    assert set(counts["branches_tflop"]) == {"nothing", "appearance", "appearance+motion"}
    assert counts["step_tflop"] == pytest.approx(sum(counts["branches_tflop"].values()) + counts["pose_guider_tflop"])
    assert 0 < counts["pose_guider_tflop"] < counts["step_tflop"]


@pytest.mark.parametrize(("option", "value", "named"), [("--window", 0, "window is 0"), ("--size", 96 + 8, "image_size is 104")])
def test_bench_flops_refuses_what_the_networks_cannot_take(option: str, value: int, named: str, run: Run) -> None:
    code, _, err = run("bench", "flops", "--preset", "demo", option, value)
    assert code == 1
    assert named in err


def test_bench_import_names_no_heavy_library(run: Run) -> None:
    code, out, _ = run("bench", "import", "--json")
    facts = json.loads(out)
    assert (code, facts["imported"]) == (0, [])
    assert 0 < facts["seconds"] < 5


# Animate


def test_animate_from_files_to_a_file(animate: Run, media: Path, tmp_path: Path) -> None:
    facts, frames = result(animate, tmp_path, "wide.png")
    output = tmp_path / "out/result.mp4"
    assert (facts["output"], facts["frames"], facts["fps"], facts["size"]) == (str(output), 6, "30000/1001", [2 * SIZE, SIZE])
    assert (probe(output).fps, len(frames), frames[0].shape) == (NTSC, 6, (SIZE, 2 * SIZE, 3))
    assert set(facts["seconds"]) == {"load", "portrait", "face", "motion", "sample", "decode"}
    assert facts["sound"] is False
    assert any("untrained" in notice for notice in facts["notices"])
    assert any("arcface.onnx" in notice for notice in facts["notices"])
    picture = load_image(media / "wide.png").astype(int)
    for frame in frames:  # beside the square the picture is kept; the face is the untrained networks'
        changed = np.abs(frame - picture).mean((0, 2))
        assert changed[SIZE + 40 :].max() < 4 < changed[80:180].min()
    note = json.loads(tags(output)["comment"])
    assert note["synthetic"] is True
    assert note["digital_source_type"].endswith("trainedAlgorithmicMedia")
    assert (note["weights"], note["trained"], note["seed"]) == (facts["weights"], False, 0)
    assert "Synthetic" in tags(output)["description"]


def test_without_json_one_line_sums_up_and_notes_go_to_stderr(animate: Run, tmp_path: Path) -> None:
    code, out, err = animate("portrait.png", "driving.mp4", "--frames", 2, "--no-provenance")
    assert code == 0
    assert out == f"{tmp_path / 'out/result.mp4'}: 2 frames of {SIZE}x{SIZE} at 29.97 frames/s, without sound\n"
    assert "Note: " in err
    assert "untrained" in err
    assert not {"comment", "description"} & set(tags(tmp_path / "out/result.mp4"))


def test_crop_and_compare_have_their_sizes_and_panels(animate: Run, media: Path, tmp_path: Path) -> None:
    facts, crop = result(animate, tmp_path, "portrait.png", "driving.mp4", "--view", "crop", "--start", 2, "--frames", 3)
    assert (facts["size"], len(crop)) == ([128, 128], 3)
    facts, compare = result(animate, tmp_path, "portrait.png", "driving.mp4", "--view", "compare", "--start", 2, "--frames", 3)
    assert (facts["size"], facts["frames"]) == ([768, 256], 3)
    portrait, driving = load_image(media / "portrait.png"), np.stack(list(read_frames(media / "driving.mp4")))
    for i in range(3):
        still, moving, animated = np.split(compare[i].astype(int), 3, axis=1)
        assert np.abs(still - portrait).mean() < 4  # the square crop is the whole of these two pictures
        assert np.abs(moving - driving[i + 2]).mean() < 4 < np.abs(moving - portrait).mean()
        assert np.abs(moving - driving).mean((1, 2, 3)).argmin() == i + 2
        enlarged = np.asarray(Image.fromarray(crop[i]).resize((256, 256)))
        assert np.abs(animated - enlarged).mean() < 12 < np.abs(moving - enlarged).mean()


def test_the_seed_alone_decides(animate: Run, tmp_path: Path) -> None:
    runs = []
    for seed in (7, 7, 8):
        facts, frames = result(animate, tmp_path, "portrait.png", "driving.mp4", "--seed", seed, "--frames", 2, "--view", "crop")
        assert json.loads(tags(tmp_path / "out/result.mp4")["comment"])["seed"] == seed
        runs.append(b"".join(frame.tobytes() for frame in frames))
    assert runs[0] == runs[1] != runs[2]
    assert facts["frames"] == 2


def test_the_driving_sound_goes_along_unless_refused(animate: Run, media: Path, tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((np.sin(np.arange(8000) / 6) * 9000).astype("<i2").tobytes())
    loud = write_video(tmp_path / "loud.mp4", read_frames(media / "driving.mp4"), audio_from=tmp_path / "tone.wav")
    assert result(animate, tmp_path, "portrait.png", loud, "--frames", 1)[0]["sound"] is True
    assert result(animate, tmp_path, "portrait.png", loud, "--frames", 1, "--no-sound")[0]["sound"] is False


def test_one_driving_frame_is_enough(animate: Run, tmp_path: Path) -> None:
    facts, frames = result(animate, tmp_path, "portrait.png", "one.mp4")
    assert facts["frames"] == len(frames) == 1


def test_an_existing_result_is_replaced(animate: Run, tmp_path: Path) -> None:
    (tmp_path / "out/result.mp4").write_bytes(b"old")
    assert result(animate, tmp_path, "portrait.png", "one.mp4")[0]["frames"] == 1


# Portraits of all kinds


def test_the_face_asked_for_is_taken(animate: Run, tmp_path: Path) -> None:
    def left(which: object) -> np.ndarray:
        options = ("--portrait-face", which, "--view", "compare", "--frames", 1)
        return result(animate, tmp_path, "two.png", "driving.mp4", *options)[1][0][:, :256].astype(int)

    large, small = left(0), left("rightmost")
    assert np.abs(large - small).mean() > 10
    assert np.abs(left(1) - small).mean() < 1


@pytest.mark.parametrize("cut", [(slice(None), slice(80, None)), (slice(80, None), slice(None))], ids=["left", "top"])
def test_a_face_at_the_edge_of_the_picture_works(cut: tuple[slice, slice], animate: Run, media: Path, tmp_path: Path) -> None:
    picture = load_image(media / "portrait.png")[cut]
    Image.fromarray(picture).save(tmp_path / "edge.png")
    facts, _ = result(animate, tmp_path, tmp_path / "edge.png", "driving.mp4", "--frames", 1)
    assert facts["size"] == [picture.shape[1], picture.shape[0]]


@pytest.mark.parametrize("kind", ["alpha", "palette", "grey", "turned"])
def test_portraits_of_every_kind_work(kind: str, animate: Run, media: Path, tmp_path: Path) -> None:
    image = Image.open(media / "portrait.png").crop((0, 0, SIZE, SIZE - 16))
    exif = Image.Exif()
    if kind == "alpha":
        mask = Image.new("L", image.size, 255)
        mask.paste(0, (0, 0, 40, SIZE))
        image.putalpha(mask)
    elif kind == "turned":
        exif[0x0112] = 6  # shown after a quarter turn clockwise
        image = image.transpose(Image.Transpose.ROTATE_90)
    else:
        image = image.convert({"palette": "P", "grey": "L"}[kind])
    image.save(tmp_path / "p.png", exif=exif)
    facts, frames = result(animate, tmp_path, tmp_path / "p.png", "driving.mp4", "--frames", 1)
    assert facts["size"] == [SIZE, SIZE - 16]
    corner = (slice(0, 8), slice(0, 8))  # where the pasted square has faded out
    np.testing.assert_allclose(frames[0][corner].mean((0, 1)), load_image(tmp_path / "p.png")[corner].mean((0, 1)), atol=6)


# Driving frames without a face


@pytest.mark.parametrize("rule", ["hold", "interpolate"])
def test_frames_without_a_face_are_filled_and_counted(rule: str, animate: Run, tmp_path: Path) -> None:
    facts, frames = result(animate, tmp_path, "portrait.png", "gap.mp4", "--on-missing", rule)
    assert len(frames) == 6
    assert f"2 of 6 frames show no face and were filled by on_missing={rule}." in facts["notices"]


def test_the_first_frame_without_a_face_stops_the_run_by_default(animate: Run, media: Path, tmp_path: Path) -> None:
    text = failure(animate, tmp_path, "portrait.png", "gap.mp4")
    assert text.startswith(f"{media / 'gap.mp4'}: No face found in frame 2. ")
    for remedy in ("hold", "interpolate", "detection_threshold (now 0.5)", "another analyzer than mediapipe"):
        assert remedy in text


def test_frames_are_numbered_as_in_the_whole_video(animate: Run, tmp_path: Path) -> None:
    assert "No face found in frame 3. " in failure(animate, tmp_path, "portrait.png", "gap.mp4", "--start", 3)
    facts, _ = result(animate, tmp_path, "portrait.png", "gap.mp4", "--start", 4)
    assert facts["frames"] == 2


@pytest.mark.parametrize(("rule", "where"), [("error", "frame 0"), ("hold", "any of 3 frames"), ("interpolate", "any of 3 frames")])
def test_a_video_without_any_face_is_refused_under_every_rule(rule: str, where: str, animate: Run, media: Path, tmp_path: Path) -> None:
    text = failure(animate, tmp_path, "portrait.png", "faceless.mp4", "--on-missing", rule)
    assert text.startswith(f"{media / 'faceless.mp4'}: No face found in {where}")


# Bad input


def test_a_portrait_without_a_face_is_refused(animate: Run, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), (90, 120, 90)).save(tmp_path / "wall.png")
    text = failure(animate, tmp_path, tmp_path / "wall.png")
    assert text.startswith(f"{tmp_path / 'wall.png'}: No face found. Lower detection_threshold")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--portrait-face", "2"), "two.png: Face 2 was asked for, 2 found; choose 0 to 1"),
        (("--portrait-face", "biggest"), "portrait_face is 'biggest'; choose one of largest"),
        (("--portrait-face", "²"), "portrait_face is '²'"),
        (("--driving-face", "1"), "driving.mp4: Face 1 was asked for, 1 found"),
        (("--overlap", "4"), "overlap is 4, the window 4 frames"),
        (("--steps", "0"), "steps is 0; it must be between 1 and 1000"),
        (("--pad-frames", "-1"), "pad_frames is -1"),
        (("--decode-chunk", "0"), "decode_chunk is 0"),
        (("--appearance-guidance", "strong"), "--appearance-guidance is 'strong'; give a number such as 2"),
        (("--motion-guidance", "1:2:3"), "--motion-guidance is '1:2:3'"),
        (("--motion-guidance", "nan"), "motion_guidance is nan"),
        (("--appearance-guidance", "1:101"), "appearance_guidance is 101; it must be between 0 and 100"),
        (("--seed", "-1"), "seed is -1"),
        (("--crf", "0"), "crf is 0; it must be between 1 and 51"),
        (("--frames", "0"), "frames is 0; it must be at least 1"),
        (("--start", "6"), "has 6 frames; start must be below that"),
        (("--detection-threshold", "1"), "detection_threshold is 1.0"),
        (("--analyzer-model", "nowhere.task"), "nowhere.task does not exist"),
        (("--device", "abacus"), "device is 'abacus', which torch cannot use here"),
    ],
)
def test_an_impossible_option_is_named_with_its_limit(options: tuple[str, str], named: str, animate: Run, tmp_path: Path) -> None:
    assert named in failure(animate, tmp_path, "two.png", "driving.mp4", *options)


def test_portraits_that_are_no_usable_picture_are_refused(animate: Run, media: Path, tmp_path: Path) -> None:
    Image.fromarray(face(3)).resize((32, 32)).save(tmp_path / "tiny.png")
    data = (media / "portrait.png").read_bytes()
    (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
    for name, named in (("tiny.png", "is 32x32 pixels"), ("half.png", "is damaged"), (".", "is a folder"), ("gone.png", "does not exist")):
        assert f"{tmp_path / name} {named}" in failure(animate, tmp_path, tmp_path / name)


def test_driving_files_that_are_no_usable_video_are_refused(animate: Run, media: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video\n" * 50)
    (tmp_path / "half.mp4").write_bytes((media / "driving.mp4").read_bytes()[:-200])
    for name, named in (
        ("empty.mp4", "is empty"),
        ("text.mp4", ""),
        ("half.mp4", "damaged"),
        (".", "is a folder"),
        ("gone.mp4", "no such file"),
    ):
        text = failure(animate, tmp_path, "portrait.png", tmp_path / name)
        assert str(tmp_path / name) in text
        assert named in text


def test_outputs_that_cannot_be_written_are_refused_at_once(animate: Run, tmp_path: Path) -> None:
    def refused(output: Path) -> str:
        return failure(animate, tmp_path, "portrait.png", "driving.mp4", "-o", output)

    assert f"The folder {tmp_path / 'out/gone'} does not exist" in refused(tmp_path / "out/gone/result.mp4")
    assert f"{tmp_path / 'out'} is a folder" in refused(tmp_path / "out")
    text = refused(tmp_path / "out/result.gif")
    assert f"{tmp_path / 'out/result.gif'}: the ending .gif is not one of .mp4, .mov, .mkv" in text


def test_a_wrong_ending_is_refused_before_the_weights_load(animate: Run, tmp_path: Path) -> None:
    ended, _, err = animate("portrait.png", "driving.mp4", "-o", tmp_path / "out/result.gif")
    assert ended == 1
    assert "load" not in err


@pytest.mark.parametrize("name", ["portrait.png", "driving.mp4"])
def test_an_output_never_replaces_an_input(name: str, animate: Run, media: Path, tmp_path: Path) -> None:
    before = (media / name).read_bytes()
    assert f"{name} is an input too" in failure(animate, tmp_path, "portrait.png", "driving.mp4", "-o", media / name)
    assert (media / name).read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_refused(animate: Run, tmp_path: Path) -> None:
    (tmp_path / "out").chmod(0o500)
    assert f"The folder {tmp_path / 'out'} cannot be written to" in failure(animate, tmp_path)


def test_missing_and_damaged_weights_are_refused(animate: Run, demo_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(folder: Path) -> str:
        return failure(animate, tmp_path, "portrait.png", "driving.mp4", "--weights", folder)

    (tmp_path / "bare").mkdir()
    assert f"none of {tmp_path / 'bare'}, {tmp_path / 'bare/pretrained_weights'}" in refused(tmp_path / "bare")
    assert f"{tmp_path / 'gone'} is not there" in refused(tmp_path / "gone")
    folder = Path(shutil.copytree(demo_weights, tmp_path / "w", copy_function=os.link))
    tensors = load_file(folder / SMALL)
    tensors["bias"][0] = float("nan")
    (folder / SMALL).unlink()
    save_file(tensors, folder / SMALL)
    assert f"{folder / SMALL} holds NaN or infinity in 'bias'" in refused(folder)
    (folder / SMALL).unlink()
    assert f"{folder / 'hyportrait/image_proj.pth'} is missing" in refused(folder)
    (folder / "portrait.json").unlink()
    (folder / "portrait.json").write_text('{"sampling": {"stps": 3}}')
    assert f"{folder / 'portrait.json'}: sampling: unknown key 'stps'" in refused(folder)


def test_motion_is_saved_shown_edited_and_reused(run: Run, media: Path, demo_weights: Path, tmp_path: Path) -> None:
    portrait, driving = media / "portrait.png", media / "driving.mp4"
    saved, edited, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors", tmp_path / "out.mp4"
    code, text, _ = run("motion", "save", driving, "-o", saved, "--weights", demo_weights, "--json")
    assert code == 0
    facts = json.loads(text)
    assert facts["tokens"] == [8, 128]
    assert facts["encoder"] != "unknown" != facts["source"]
    assert json.loads(run("motion", "show", saved, "--json")[1]) == facts
    code, text, _ = run("motion", "edit", saved, "-o", edited, "--expression", 1.5, "--smooth", 3, "--frames", 7, "--yaw", 5, "--json")
    assert code == 0
    assert json.loads(text)["frames"] == 7
    whole, again = tmp_path / "whole.mp4", tmp_path / "again.mp4"
    assert run("animate", portrait, driving, "-o", whole, "--weights", demo_weights, "--no-provenance", "--no-sound")[0] == 0
    assert run("animate", portrait, saved, "-o", again, "--weights", demo_weights, "--no-provenance")[0] == 0
    assert all(np.array_equal(a, b) for a, b in zip(read_frames(whole), read_frames(again), strict=True)), "the same motion, the same video"
    code, text, _ = run("animate", portrait, edited, "-o", out, "--weights", demo_weights, "--json")
    assert code == 0
    assert json.loads(text)["frames"] == 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("motion", "show", "{picture}"), "cannot be read as MotionTokens"),
        (("motion", "edit", "{motion}", "-o", "{folder}/x.safetensors", "--smooth", 4), "smoothing window is 4"),
        (("motion", "save", "{driving}", "-o", "{folder}/gone/x.safetensors"), "does not exist"),
        (("animate", "{picture}", "{motion}", "-o", "{folder}/x.mp4", "--view", "compare"), "a motion without its video"),
        (("animate", "{picture}", "{motion}", "-o", "{folder}/x.mp4", "--start", 99), "start is 99"),
    ],
)
def test_motion_mistakes_are_named(
    run: Run, media: Path, demo_weights: Path, tmp_path: Path, arguments: tuple[object, ...], words: str
) -> None:
    import torch

    from hp_core.values import MotionTokens

    motion = tmp_path / "m.safetensors"
    MotionTokens(torch.zeros(9, 8, 128), torch.zeros(9, 3), torch.zeros(9, 3), Fraction(25), "released").save(motion)
    places = {"picture": media / "portrait.png", "driving": media / "driving.mp4", "motion": motion, "folder": tmp_path}
    filled = [argument.format(**places) if isinstance(argument, str) else argument for argument in arguments]
    weights = ("--weights", demo_weights) if arguments[:2] != ("motion", "show") and arguments[1] != "edit" else ()
    code, _, said = run(*filled, *weights)
    assert code == 1
    assert words in " ".join(said.split())


def test_two_people_each_with_their_own_driver(animate: Run, media: Path, tmp_path: Path) -> None:
    alone = result(animate, tmp_path, "two.png", "driving.mp4", "--portrait-face", "leftmost", "--crf", 1)[1]
    other = result(animate, tmp_path, "two.png", "gap.mp4", "--portrait-face", "rightmost", "--on-missing", "hold", "--crf", 1)[1]
    both = result(
        animate, tmp_path, "two.png", "driving.mp4", "--portrait-face", "leftmost", "--on-missing", "hold",
        "--also", f"rightmost={media / 'gap.mp4'}", "--crf", 1,
    )[1]  # fmt: skip
    far_left, far_right = (slice(None), slice(0, 150)), (slice(60, 200), slice(420, None))
    for one, two, whole in zip(alone, other, both, strict=True):
        assert np.abs(whole[far_left].astype(int) - one[far_left]).mean() < 2  # H.264 is not exact
        assert np.abs(whole[far_right].astype(int) - two[far_right]).mean() < 2


def test_the_face_nearest_to_a_point_is_taken(animate: Run, tmp_path: Path) -> None:
    def still(which: str) -> np.ndarray:
        options = ("--portrait-face", which, "--view", "compare", "--frames", 1)
        return result(animate, tmp_path, "two.png", "driving.mp4", *options)[1][0][:, :256].astype(int)

    assert np.abs(still("390,120") - still("rightmost")).mean() < 1
    assert np.abs(still("390,120") - still("leftmost")).mean() > 10


def test_a_picture_drives_as_well(animate: Run, media: Path, tmp_path: Path) -> None:
    facts, frames = result(animate, tmp_path, "portrait.png", "two.png", "--frames", 3)
    assert (facts["frames"], facts["fps"]) == (3, "25")
    assert len(frames) == 3


def test_a_skeleton_from_the_face_track_is_said_to_be_one(animate: Run, tmp_path: Path) -> None:
    facts, _ = result(animate, tmp_path, "portrait.png", "driving.mp4", "--pose", "paper", "--pose-lock", "x", "--pose-strength", 0.5)
    assert any("nose, neck and face points" in notice for notice in facts["notices"])


def test_a_crop_that_follows_and_a_pasted_face(animate: Run, tmp_path: Path) -> None:
    options = ("--crop", "follow", "--stiffness", 2, "--paste", "face", "--match-colour")
    facts, frames = result(animate, tmp_path, "wide.png", "driving.mp4", *options)
    assert facts["frames"] == 6
    assert np.abs(frames[0][:, 300:].astype(int) - 200).mean() < 2, "beyond the face the portrait is untouched"
    assert result(animate, tmp_path, "wide.png", "driving.mp4", "--crop", "follow", "--view", "compare")[0]["size"] == [768, 256]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--also", "rightmost"), "give FACE=DRIVING"),
        (("--also", "nose=gone.mp4"), "is 'nose'"),
        (("--also", "rightmost=gone.mp4"), "gone.mp4"),
        (("--also", "rightmost=driving.mp4", "--view", "crop"), "Choose the view portrait"),
        (("--portrait-face", "1,x"), "a point as X,Y"),
        (("--portrait-face", "9000,5"), "9000"),
        (("--pose", "paper", "--pose-keypoints", "dwpose"), "hp-portrait download --for dwpose"),
        (("--pose", "paper", "--pose-reference", 99), "reference is frame 99"),
        (("--pose-strength", 9), "strength is 9"),
        (("--portrait-like", "gone.png"), "gone.png"),
    ],
)
def test_mistakes_about_faces_and_pose_are_named(
    options: tuple[object, ...], named: str, animate: Run, media: Path, tmp_path: Path
) -> None:
    given = [option.replace("driving.mp4", str(media / "driving.mp4")) if isinstance(option, str) else option for option in options]
    assert named in " ".join(failure(animate, tmp_path, "portrait.png", "driving.mp4", *given).split())


def test_the_person_of_another_picture_is_found(animate: Run, media: Path, tmp_path: Path) -> None:
    from hp_core.weights.catalog import DEMO_WEIGHTS

    def still(*options: object) -> np.ndarray:
        given = (*options, "--view", "compare", "--frames", 1, "--weights", DEMO_WEIGHTS)
        return result(animate, tmp_path, "two.png", "driving.mp4", *given)[1][0][:, :256].astype(int)

    alike = media / "alike.png"
    Image.fromarray(next(render(Identity.sample(7), Performance.sample(11, 1), size=SIZE))).save(alike)
    found = still("--portrait-like", alike)
    assert np.abs(found - still("--portrait-face", "rightmost")).mean() < 1
    assert np.abs(found - still("--portrait-face", "leftmost")).mean() > 10


def test_dwpose_beside_the_weights_gives_the_pose(animate: Run, demo_weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("rtmlib")
    from tests.pose.test_dwpose import LEFT, detector, estimator

    folder = tmp_path / "weights"
    shutil.copytree(demo_weights, folder)
    (folder / "dwpose").mkdir()
    detector(folder / "dwpose/yolox_l.onnx", [LEFT])
    estimator(folder / "dwpose/dw-ll_ucoco_384.onnx")
    assert "no edge in common" in failure(animate, tmp_path, "portrait.png", "driving.mp4", "--pose", "paper", "--weights", folder), (
        "all points of the small stand-in lie in one place"
    )
    facts, _ = result(animate, tmp_path, "portrait.png", "driving.mp4", "--pose", "identity", "--weights", folder)
    assert not any("face alone" in notice for notice in facts["notices"])
