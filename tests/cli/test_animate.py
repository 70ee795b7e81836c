"""`animate` from files to a file, and what it says to bad input."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from hp_core.image import load_image
from hp_core.video import probe, read_frames
from tests.cli.calls import NTSC, SIZE, Run, face, failure, result, tags, write_video

SMALL = "hyportrait/image_proj.safetensors"


@pytest.mark.slow
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


@pytest.mark.slow
def test_without_json_one_line_sums_up_and_notes_go_to_stderr(animate: Run, tmp_path: Path) -> None:
    code, out, err = animate("portrait.png", "driving.mp4", "--frames", 2, "--no-provenance")
    assert code == 0
    assert out == f"{tmp_path / 'out/result.mp4'}: 2 frames of {SIZE}x{SIZE} at 29.97 frames/s, without sound\n"
    assert "Note: " in err
    assert "untrained" in err
    assert not {"comment", "description"} & set(tags(tmp_path / "out/result.mp4"))


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_seed_alone_decides(animate: Run, tmp_path: Path) -> None:
    runs = []
    for seed in (7, 7, 8):
        facts, frames = result(animate, tmp_path, "portrait.png", "driving.mp4", "--seed", seed, "--frames", 2, "--view", "crop")
        assert json.loads(tags(tmp_path / "out/result.mp4")["comment"])["seed"] == seed
        runs.append(b"".join(frame.tobytes() for frame in frames))
    assert runs[0] == runs[1] != runs[2]
    assert facts["frames"] == 2


@pytest.mark.slow
def test_where_the_networks_wait_does_not_show_and_eight_bits_show_a_little(animate: Run, tmp_path: Path) -> None:
    def frames(*options: object) -> np.ndarray:
        _, found = result(animate, tmp_path, "portrait.png", "driving.mp4", "--frames", 2, "--view", "crop", *options)
        return np.stack(found).astype(int)

    resident = frames()
    for memory in ("frugal", "streamed"):
        assert np.array_equal(frames("--memory", memory), resident), memory
    apart = np.abs(frames("--unet-storage", "fp8", "--memory", "streamed") - resident).mean()
    assert 0 < apart < 12


@pytest.mark.slow
def test_the_driving_sound_goes_along_unless_refused(animate: Run, media: Path, tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((np.sin(np.arange(8000) / 6) * 9000).astype("<i2").tobytes())
    loud = write_video(tmp_path / "loud.mp4", read_frames(media / "driving.mp4"), audio_from=tmp_path / "tone.wav")
    assert result(animate, tmp_path, "portrait.png", loud, "--frames", 1)[0]["sound"] is True
    assert result(animate, tmp_path, "portrait.png", loud, "--frames", 1, "--no-sound")[0]["sound"] is False
    beside = ("--portrait-face", "leftmost", "--also", f"rightmost={loud}", "--frames", 1)
    assert result(animate, tmp_path, "two.png", "portrait.png", *beside)[0]["sound"] is True, "a picture has none of its own"


@pytest.mark.slow
def test_one_driving_frame_is_enough(animate: Run, tmp_path: Path) -> None:
    facts, frames = result(animate, tmp_path, "portrait.png", "one.mp4")
    assert facts["frames"] == len(frames) == 1


@pytest.mark.slow
def test_an_existing_result_is_replaced(animate: Run, tmp_path: Path) -> None:
    (tmp_path / "out/result.mp4").write_bytes(b"old")
    assert result(animate, tmp_path, "portrait.png", "one.mp4")[0]["frames"] == 1


# Portraits of all kinds


@pytest.mark.slow
def test_the_face_asked_for_is_taken(animate: Run, tmp_path: Path) -> None:
    def left(which: object) -> np.ndarray:
        options = ("--portrait-face", which, "--view", "compare", "--frames", 1)
        return result(animate, tmp_path, "two.png", "driving.mp4", *options)[1][0][:, :256].astype(int)

    large, small = left(0), left("rightmost")
    assert np.abs(large - small).mean() > 10
    assert np.abs(left(1) - small).mean() < 1


@pytest.mark.slow
@pytest.mark.parametrize("cut", [(slice(None), slice(80, None)), (slice(80, None), slice(None))], ids=["left", "top"])
def test_a_face_at_the_edge_of_the_picture_works(cut: tuple[slice, slice], animate: Run, media: Path, tmp_path: Path) -> None:
    picture = load_image(media / "portrait.png")[cut]
    Image.fromarray(picture).save(tmp_path / "edge.png")
    facts, _ = result(animate, tmp_path, tmp_path / "edge.png", "driving.mp4", "--frames", 1)
    assert facts["size"] == [picture.shape[1], picture.shape[0]]


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["hold", "interpolate"])
def test_frames_without_a_face_are_filled_and_counted(rule: str, animate: Run, tmp_path: Path) -> None:
    facts, frames = result(animate, tmp_path, "portrait.png", "gap.mp4", "--on-missing", rule)
    assert len(frames) == 6
    assert f"2 of 6 frames lack the followed face and were filled by on_missing={rule}." in facts["notices"]


@pytest.mark.slow
def test_the_first_frame_without_a_face_stops_the_run_by_default(animate: Run, media: Path, tmp_path: Path) -> None:
    text = failure(animate, tmp_path, "portrait.png", "gap.mp4")
    assert text.startswith(f"{media / 'gap.mp4'}: No face found in frame 2. ")
    for remedy in ("hold", "interpolate", "detection_threshold (now 0.5)", "another analyzer than mediapipe"):
        assert remedy in text


@pytest.mark.slow
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
