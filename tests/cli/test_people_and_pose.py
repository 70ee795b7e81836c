"""`animate`: which face, whose skeleton, several people, and what is pasted."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import render
from hp_core.errors import OptionError
from hp_core.request import AnimateOptions, Driver
from tests.cli.calls import NTSC, SIZE, Run, face, failure, result, write_video


@pytest.mark.slow
def test_two_people_each_with_their_own_driver(animate: Run, media: Path, tmp_path: Path) -> None:
    alone = result(animate, tmp_path, "two.png", "driving.mp4", "--portrait-face", "leftmost", "--crf", 1)[1]
    other = result(animate, tmp_path, "two.png", "gap.mp4", "--portrait-face", "rightmost", "--on-missing", "hold", "--crf", 1)[1]
    both = result(
        animate, tmp_path, "two.png", "driving.mp4", "--portrait-face", "leftmost", "--on-missing", "hold",
        "--also", f"rightmost={media / 'gap.mp4'}", "--paste", "crop", "--crf", 1,
    )[1]  # fmt: skip
    far_left, far_right = (slice(None), slice(0, 150)), (slice(60, 200), slice(420, None))
    for one, two, whole in zip(alone, other, both, strict=True):
        assert np.abs(whole[far_left].astype(int) - one[far_left]).mean() < 2  # H.264 is not exact
        assert np.abs(whole[far_right].astype(int) - two[far_right]).mean() < 2


@pytest.mark.slow
def test_a_square_is_not_pasted_over_a_neighbour(animate: Run, media: Path, tmp_path: Path) -> None:
    """Faces side by side: the second one's square holds the first face, standing still."""
    near = np.full((SIZE, 2 * SIZE, 3), 200, np.uint8)
    near[:, 140:396], near[:, :190] = face(7), face(3)[:, :190]
    Image.fromarray(near).save(media / "near.png")
    both = ("--portrait-face", "leftmost", "--also", f"rightmost={media / 'driving.mp4'}", "--crf", 1)
    facts, frames = result(animate, tmp_path, "near.png", "driving.mp4", *both)
    alone = result(animate, tmp_path, "near.png", "driving.mp4", "--portrait-face", "leftmost", "--paste", "face", "--crf", 1)[1]
    left = (slice(80, 200), slice(60, 150))
    assert all(np.abs(one[left].astype(int) - whole[left]).mean() < 2 for one, whole in zip(alone, frames, strict=True))
    assert not any("stands still" in notice for notice in facts["notices"])
    facts, _ = result(animate, tmp_path, "near.png", "driving.mp4", *both, "--paste", "crop")
    assert any("stands still" in notice for notice in facts["notices"])


@pytest.mark.slow
def test_two_people_of_one_video_drive_two_others(animate: Run, media: Path, tmp_path: Path) -> None:
    from hp_core.commands.parse import person

    write_video(media / "pair.mp4", [np.array(Image.open(media / "two.png"))] * 3)
    also = f"rightmost={media / 'pair.mp4'}=rightmost"
    assert (person(also).driving_face, person(also).driving) == ("rightmost", media / "pair.mp4")
    strange = media / "a=b.mp4"
    shutil.copy(media / "pair.mp4", strange)
    assert person(f"rightmost={strange}").driving == strange
    facts, _ = result(animate, tmp_path, "two.png", "pair.mp4", "--portrait-face", "leftmost", "--driving-face", "leftmost", "--also", also)
    assert facts["frames"] == 3


def test_the_part_of_another_driver_is_the_same_seconds() -> None:
    part = AnimateOptions(start=2, frames=3)
    assert Driver(Path("slow.mp4"), 12, NTSC).part(part, NTSC) == (2, 3)
    assert Driver(Path("fast.mp4"), 12, 2 * NTSC).part(part, NTSC) == (4, 6)
    assert Driver(Path("fast.mp4"), 7, 2 * NTSC).part(part, NTSC) == (4, 3), "as far as it goes"
    with pytest.raises(OptionError, match=r"start is 2 at 29.97 .* frame 4 of fast.mp4 at 59.9401; it has 3"):
        Driver(Path("fast.mp4"), 3, 2 * NTSC).part(part, NTSC)
    smile = Driver(Path("smile.png"), 3, NTSC, still=np.zeros((64, 64, 3), np.uint8))
    assert smile.part(AnimateOptions(start=20, frames=3), NTSC) == (0, 3), "a picture has no beginning to leave out"


@pytest.mark.slow
def test_motion_is_edited_on_the_way(animate: Run, media: Path, tmp_path: Path) -> None:
    facts, _ = result(animate, tmp_path, "portrait.png", "driving.mp4", "--stretch", 4, "--hold-after", 2, "--fps", 10)
    assert (facts["frames"], facts["fps"]) == (6, "10")
    facts, _ = result(animate, tmp_path, "portrait.png", "driving.mp4", "--fps", 10, "--neutral", 5, "--rotation", 0.5)
    assert facts["frames"] < 5, "the neutral frame is one of the driver's, not of the result's"
    changes: tuple[tuple[object, ...], ...] = ((), ("--expression", 0, "--rotation", 0), ("--yaw", 20), ("--head-from", media / "two.png"))
    plain, *moved = [result(animate, tmp_path, "portrait.png", "driving.mp4", *more)[1][3].astype(int) for more in changes]
    assert all(np.abs(plain - other).mean() > 0.5 for other in moved)


@pytest.mark.slow
def test_the_face_nearest_to_a_point_is_taken(animate: Run, tmp_path: Path) -> None:
    def still(which: str) -> np.ndarray:
        options = ("--portrait-face", which, "--view", "compare", "--frames", 1)
        return result(animate, tmp_path, "two.png", "driving.mp4", *options)[1][0][:, :256].astype(int)

    assert np.abs(still("390,120") - still("rightmost")).mean() < 1
    assert np.abs(still("390,120") - still("leftmost")).mean() > 10


@pytest.mark.slow
def test_a_picture_drives_as_well(animate: Run, media: Path, tmp_path: Path) -> None:
    facts, frames = result(animate, tmp_path, "portrait.png", "two.png", "--frames", 3)
    assert (facts["frames"], facts["fps"]) == (3, "25")
    assert len(frames) == 3


@pytest.mark.slow
def test_a_skeleton_from_the_face_track_is_said_to_be_one(animate: Run, tmp_path: Path) -> None:
    facts, _ = result(animate, tmp_path, "portrait.png", "driving.mp4", "--pose", "paper", "--pose-lock", "x", "--pose-strength", 0.5)
    assert any("a neck estimated below it" in notice for notice in facts["notices"])


@pytest.mark.slow
def test_a_crop_that_follows_and_a_pasted_face(animate: Run, tmp_path: Path) -> None:
    options = ("--crop", "follow", "--stiffness", 2, "--paste", "face", "--match-colour")
    facts, frames = result(animate, tmp_path, "wide.png", "driving.mp4", *options)
    assert facts["frames"] == 6
    assert np.abs(frames[0][:, 300:].astype(int) - 200).mean() < 2, "beyond the face the portrait is untouched"
    assert result(animate, tmp_path, "wide.png", "driving.mp4", "--crop", "follow", "--view", "compare")[0]["size"] == [768, 256]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--also", "rightmost"), "give FACE=DRIVING"),
        (("--also", "nose=gone.mp4"), "is 'nose'"),
        (("--also", "rightmost=gone.mp4"), "gone.mp4"),
        (("--also", "rightmost=driving.mp4", "--view", "crop"), "Choose the view portrait"),
        (("--also", "largest=driving.mp4"), "drive the same face"),
        (("--pose", "paper", "--pose-level"), "Leave level out"),
        (("--pose", "identity", "--pose-level"), "identity leaves it where it is"),
        (("--pose", "paper", "--pose-level", "--pose-keypoints", "face"), "only estimated"),
        (("--pose", "paper", "--pose-part", "eyes"), "leaves the pose black"),
        (("--pose", "paper", "--head-from", "driving.mp4"), "Set it to released"),
        (("--portrait-face", "1,x"), "a point as X,Y"),
        (("--portrait-face", "9000,5"), "9000"),
        (("--pose", "paper", "--pose-keypoints", "dwpose"), "hp-portrait download --for dwpose"),
        (("--pose", "paper", "--pose-reference", 99), "reference is frame 99"),
        (("--pose-strength", 9), "strength is 9"),
        (("--pose", "identity", "--pose-reference", 2), "only with a strength or a lock"),
        (("--pose", "paper", "--pose-keypoints", "face", "--pose-missing", "hold"), "known in every frame"),
        (("--portrait-face", "like:gone.png"), "gone.png"),
        (("--also", "like:gone.png=driving.mp4"), "gone.png"),
        (("--pose-strength", 0.5), "pose mode is released, which is black"),
        (("--view", "crop", "--match-colour"), "pastes nothing, and match_colour is set"),
        (("--view", "compare", "--paste", "face"), "pastes nothing, and paste face is set"),
        (("--view", "crop", "--mask", "m.png"), "pastes nothing, and mask is set"),
        (("--mask", "m.jpg"), "name it m.png"),
        (("--head-pace", "stretch"), "head_from names none"),
        (("--head-from", "driving.mp4", "--head-relative", "--head-neutral", 99), "head_neutral is frame 99"),
        (("--frames", 3, "--neutral", 3, "--rotation", 0.5), "3 frames are used, so 0 to 2"),
    ],
)
def test_mistakes_about_faces_and_pose_are_named(
    options: tuple[object, ...], named: str, animate: Run, media: Path, tmp_path: Path
) -> None:
    given = [option.replace("driving.mp4", str(media / "driving.mp4")) if isinstance(option, str) else option for option in options]
    assert named in " ".join(failure(animate, tmp_path, "portrait.png", "driving.mp4", *given).split())


@pytest.mark.slow
def test_the_mask_says_where_the_picture_is_changed(animate: Run, media: Path, tmp_path: Path) -> None:
    also = ("--portrait-face", "leftmost", "--also", f"rightmost={media / 'driving.mp4'}", "--frames", 1, "--crf", 1)
    facts, frames = result(animate, tmp_path, "two.png", "driving.mp4", *also, "--mask", tmp_path / "mask.png")
    mask, still = np.array(Image.open(tmp_path / "mask.png")), np.array(Image.open(media / "two.png"))
    assert facts["mask"] == str(tmp_path / "mask.png")
    assert (mask.shape, mask.dtype) == (still.shape[:2], np.uint8)
    assert all((part == 255).any() for part in np.array_split(mask, 2, axis=1)), "both faces"
    changed = np.abs(frames[0].astype(int) - still).mean(-1)
    assert changed[mask == 0].mean() < 1, "H.264 is not exact"
    assert changed[mask == 255].mean() > 5


@pytest.mark.slow
def test_a_picture_drives_somebody_else_beside_a_skeleton(animate: Run, media: Path, tmp_path: Path) -> None:
    """It has no frame rate of its own that could differ from the first driver's."""
    also = ("--portrait-face", "leftmost", "--also", f"rightmost={media / 'portrait.png'}")
    assert result(animate, tmp_path, "two.png", "driving.mp4", *also, "--pose", "paper", "--expression", 0.5)[0]["frames"] == 6


@pytest.mark.slow
def test_strength_of_a_picture_is_said_to_change_nothing(animate: Run, tmp_path: Path) -> None:
    facts, _ = result(animate, tmp_path, "portrait.png", "two.png", "--frames", 2, "--expression", 2)
    assert any("its own neutral frame" in notice for notice in facts["notices"])
    assert not any(
        "neutral frame" in notice for notice in result(animate, tmp_path, "portrait.png", "two.png", "--frames", 2)[0]["notices"]
    )


@pytest.mark.slow
def test_the_head_of_a_longer_clip_has_its_own_face_and_its_own_rest(animate: Run, media: Path, tmp_path: Path) -> None:
    """Kept at its speed it lends three frames, and the one in which it looks at rest comes later."""
    write_video(media / "pair.mp4", [np.array(Image.open(media / "two.png"))] * 8)
    head = ("--head-from", media / "pair.mp4", "--head-relative", "--head-neutral", 6, "--frames", 3)
    left, right = (
        result(animate, tmp_path, "portrait.png", "driving.mp4", *head, "--head-face", which) for which in ("leftmost", "rightmost")
    )
    assert left[0]["frames"] == right[0]["frames"] == 3
    whole = ("--head-from", media / "pair.mp4", "--frames", 3)
    one, two = (
        result(animate, tmp_path, "portrait.png", "driving.mp4", *whole, "--head-face", which)[1] for which in ("leftmost", "rightmost")
    )
    assert np.abs(one[1].astype(int) - two[1]).mean() > 0.1, "two people hold their heads differently"


def test_a_motion_has_no_face_to_choose(animate: Run, media: Path, tmp_path: Path) -> None:
    from hp_core.request import check_request
    from tests.motion.test_edit import motion

    motion(6).save(media / "m.safetensors")
    for options, named in (
        (AnimateOptions(driving_face="leftmost"), "A face of the driving video is chosen"),
        (AnimateOptions(crop="follow"), "crop is follow"),
        (AnimateOptions(intensity="paper"), "intensity is paper"),
    ):
        with pytest.raises(OptionError, match=named):
            check_request(media / "portrait.png", media / "m.safetensors", tmp_path / "out.mp4", options)


def test_what_concerns_drivers_does_not_ask_the_heads_clip(animate: Run, media: Path, tmp_path: Path) -> None:
    from hp_core.request import check_request
    from tests.motion.test_edit import motion

    motion(6).save(media / "m.safetensors")
    options = AnimateOptions(intensity="paper", head_from=media / "driving.mp4")
    with pytest.raises(OptionError, match="intensity is paper"):
        check_request(media / "portrait.png", media / "m.safetensors", tmp_path / "out.mp4", options)


def test_a_picture_has_no_later_frame_to_begin_with(animate: Run, media: Path, tmp_path: Path) -> None:
    from hp_core.request import check_request

    with pytest.raises(OptionError, match=r"start is 4, .* is a picture, which has one frame"):
        check_request(media / "portrait.png", media / "portrait.png", tmp_path / "out.mp4", AnimateOptions(start=4))
    with pytest.raises(OptionError, match="on_missing is 'skip'"):
        AnimateOptions(on_missing="skip")


@pytest.mark.slow
def test_the_person_of_another_picture_is_found(animate: Run, media: Path, tmp_path: Path) -> None:
    from hp_core.weights.catalog import DEMO_WEIGHTS

    def still(*options: object) -> np.ndarray:
        given = (*options, "--view", "compare", "--frames", 1, "--weights", DEMO_WEIGHTS)
        return result(animate, tmp_path, "two.png", "driving.mp4", *given)[1][0][:, :256].astype(int)

    alike = media / "alike.png"
    Image.fromarray(next(render(Identity.sample(7), Performance.sample(11, 1), size=SIZE))).save(alike)
    found = still("--portrait-face", f"like:{alike}")
    assert np.abs(found - still("--portrait-face", "rightmost")).mean() < 1
    assert np.abs(found - still("--portrait-face", "leftmost")).mean() > 10


@pytest.mark.slow
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
