"""Keypoints from face tracks and from ComfyUI's POSE_KEYPOINT."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hp_core.config import FaceConfig, PoseStyle
from hp_core.errors import OptionError, PortraitError
from hp_core.face.analyzer import create_analyzer
from hp_core.face.track import track_faces
from hp_core.image import load_image
from hp_core.pose.draw import LIMBS, draw_skeleton
from hp_core.pose.keypoints import (
    FACE,
    LEFT_EYE,
    NECK,
    NOSE,
    RIGHT_EYE,
    filled,
    from_openpose,
    from_track,
    known_noses,
    nose_and_neck,
    to_openpose,
)
from hp_core.progress import result
from hp_core.values import PoseKeypoints


def person(x: float, y: float, scale: float = 1.0) -> dict[str, list[float]]:
    body = np.zeros((18, 3))
    body[:, :2] = np.array([x, y]) + scale * np.random.default_rng(0).uniform(-30, 30, (18, 2))
    body[NOSE, :2], body[:, 2] = (x, y), 1
    return {"pose_keypoints_2d": body.ravel().tolist()}


def frame(*everybody: dict[str, list[float]], width: int = 400, height: int = 300) -> dict[str, object]:
    return {"people": list(everybody), "canvas_width": width, "canvas_height": height}


def test_a_face_track_gives_nose_eyes_face_and_a_neck_below(portrait_image):
    picture = load_image(portrait_image)
    track = result(track_faces([picture], create_analyzer(), FaceConfig(), total=1))
    points = from_track(track).points[0]
    np.testing.assert_allclose(points[NOSE, :2], track.five_points[0, 2])
    np.testing.assert_allclose(points[[RIGHT_EYE, LEFT_EYE], :2], track.five_points[0, :2])
    face = points[FACE, :2]
    dense = track.landmarks[0]
    assert abs(face[8, 1] - dense[152, 1]) < 3, "the ninth of iBUG's points is the chin"
    for eye, iris in ((face[36:42], dense[468]), (face[42:48], dense[473])):
        assert (eye.min(0) < iris[:2]).all()
        assert (iris[:2] < eye.max(0)).all()
    assert points[NECK, 1] > dense[152, 1], "the neck lies below the chin"
    assert abs(points[NECK, 0] - points[NOSE, 0]) < 0.2 * np.ptp(face[:, 0])
    assert (points[2:14, 2] == 0).all(), "a face analyzer sees no shoulders"
    five_only = from_track(replace(track, landmarks=None)).points[0]
    np.testing.assert_allclose(five_only[NECK, :2], points[NECK, :2], atol=0.15 * np.linalg.norm(points[NECK, :2] - points[NOSE, :2]))
    usual = nose_and_neck(track.five_points)[0]
    np.testing.assert_allclose(usual[[NOSE, NECK]], five_only[[NOSE, NECK]])
    other = nose_and_neck(track.five_points, length=2.0, lean=0.5)[0]
    eyes = track.five_points[0, :2].mean(0)
    np.testing.assert_allclose(other[NOSE], usual[NOSE])
    down = usual[NECK, 1] - eyes[1]
    np.testing.assert_allclose(other[NECK, :2] - eyes, [down, 2 * down], rtol=1e-5)


def test_a_mouth_that_opens_does_not_lengthen_the_neck(portrait_image):
    picture = load_image(portrait_image)
    still = result(track_faces([picture] * 5, create_analyzer(), FaceConfig(), total=5))
    dense = still.landmarks.copy()
    dense[2:, 152, 1] += 0.2 * (dense[2:, 152, 1] - dense[2:, 10, 1])  # the chin of the last three frames
    necks = from_track(replace(still, landmarks=dense)).points[:, NECK]
    np.testing.assert_allclose(necks, np.repeat(necks[:1], 5, axis=0), atol=1e-3)


def test_openpose_json_survives_there_and_back():
    points = np.random.default_rng(0).uniform(2, 200, (3, 128, 3)).astype(np.float32)
    points[..., 2] = 0.9
    known = PoseKeypoints(points, np.array([True, False, True]), (400, 300), "test")
    back = from_openpose(to_openpose(known))
    assert back.size == (400, 300)
    assert back.found.tolist() == [True, False, True]
    np.testing.assert_allclose(back.points[[0, 2]], points[[0, 2]], rtol=1e-5)


def test_coordinates_within_the_canvas_may_be_shares_of_it():
    shares = person(0.5, 0.25, scale=0.001)
    points = from_openpose([frame(shares)]).points[0]
    np.testing.assert_allclose(points[NOSE, :2], [200, 75], atol=1e-3)
    shares["pose_keypoints_2d"][3 * 4 : 3 * 4 + 3] = [1.02, 0.5, 0.9]  # a wrist past the edge
    points = from_openpose([frame(shares)]).points[0]
    np.testing.assert_allclose(points[[NOSE, 4], :2], [[200, 75], [408, 150]], atol=1e-3)


def test_openposes_own_25_points_are_the_18_in_another_order():
    known = to_openpose(PoseKeypoints(body()[None], np.ones(1, bool), (512, 512), "test"))
    coco = np.reshape(known[0]["people"][0]["pose_keypoints_2d"], (18, 3))
    wide = np.concatenate([coco[:8], [[7, 7, 1]], coco[8:], np.full((6, 3), 9.0)])  # the middle of the hips, and feet
    known[0]["people"][0]["pose_keypoints_2d"] = wide.ravel().tolist()
    np.testing.assert_allclose(from_openpose(known).points[0, :18], coco, rtol=1e-5)
    known[0]["people"][0]["pose_keypoints_2d"] = wide[:17].ravel().tolist()
    with pytest.raises(PortraitError, match="17 points, not OpenPose's 18 or 25"):
        from_openpose(known)


def test_the_person_meant_is_followed_through_a_crossing():
    clip = [frame(person(100 + 40 * i, 100), person(260 - 40 * i, 110, 2.0)) for i in range(5)]
    meant = np.array([[100 + 40 * i, 100] for i in range(5)], np.float32)
    np.testing.assert_allclose(from_openpose(clip, meant).points[:, NOSE, 0], meant[:, 0])
    assert from_openpose(clip[:1]).points[0, NOSE, 0] == 260, "the largest, where nobody is named"


def test_whoever_is_far_from_the_person_meant_is_somebody_else():
    """A bystander whom the detector sees where it misses the person: that frame has nobody, and is filled by the rule for it."""
    clip = [frame(person(100, 100), person(300, 100)), frame(person(300, 100)), frame(person(108, 100), person(300, 100))]
    followed = from_openpose(clip, np.array([[100, 100], [104, 100], [108, 100]], np.float32))
    assert followed.found.tolist() == [True, False, True]
    assert filled(followed, "interpolate").points[1, NOSE, 0] == pytest.approx(104)


def test_where_the_face_is_not_known_nobody_is():
    """The followed face is hidden behind somebody who stands where it was: a guess of its place names nobody."""
    clip = [frame(person(100, 100)), frame(person(102, 100)), frame(person(108, 100))]
    followed = from_openpose(clip, np.array([[100, 100], [np.nan, np.nan], [108, 100]], np.float32))
    assert followed.found.tolist() == [True, False, True]
    assert filled(followed, "interpolate").points[1, NOSE, 0] == pytest.approx(104)


def test_without_a_face_track_a_bystander_is_not_taken_for_the_person_either():
    bystander = person(400, 100)
    clip = [frame(person(100, 100, 2.0), bystander), frame(bystander), frame(person(104, 100, 2.0), bystander)]
    followed = from_openpose(clip)
    assert followed.found.tolist() == [True, False, True]
    assert followed.points[2, NOSE, 0] == 104


def test_known_noses_are_those_of_found_faces(portrait_image):
    track = result(track_faces([load_image(portrait_image)], create_analyzer(), FaceConfig(), total=1))
    assert np.isfinite(known_noses(track)).all()
    lost = replace(track, found=np.zeros(len(track), bool))
    assert np.isnan(known_noses(lost)).all()


def test_what_is_not_openpose_json_is_refused():
    with pytest.raises(OptionError, match="hold no frames"):
        from_openpose([])
    with pytest.raises(PortraitError, match=r"Frame 1 .*canvas_width"):
        from_openpose([frame(person(1, 1)), {"people": []}])
    with pytest.raises(OptionError, match="canvas of"):
        from_openpose([frame(person(1, 1)), frame(person(1, 1), width=500)])
    with pytest.raises(OptionError, match="2 frames, the face track 3"):
        from_openpose([frame(), frame()], np.zeros((3, 2), np.float32))


def body() -> np.ndarray:
    points = np.zeros((128, 3), np.float32)
    points[:, :2] = np.random.default_rng(1).uniform(60, 450, (128, 2))
    points[:, 2] = 1
    return points


@pytest.mark.parametrize("part", ["body", "face", "hands"])
def test_parts_are_drawn_each_on_its_own(part):
    nothing = PoseStyle(body=False)
    alone = draw_skeleton(body(), 512, PoseStyle(**{"body": False, part: True}))
    assert not draw_skeleton(body(), 512, nothing).any()
    assert alone.any()
    if part == "face":
        assert set(np.unique(alone)) == {0, 255}


def test_eyes_and_ears_are_left_out_unless_asked_for():
    points = body()
    with_eyes, without = draw_skeleton(points, 512, PoseStyle(eyes=True)), draw_skeleton(points, 512, PoseStyle())
    at = points[RIGHT_EYE, :2].round().astype(int)
    assert with_eyes[at[1], at[0]].any()
    assert (with_eyes.any(-1)).sum() > (without.any(-1)).sum()


def test_the_face_s_eyes_go_with_the_body_s():
    points = np.zeros((128, 3), np.float32)
    points[FACE, :2], points[FACE, 2] = np.linspace((40, 40), (470, 470), 68), 1
    eyes = points[FACE][36:48, :2].round().astype(int)
    shown = {eyes_too: draw_skeleton(points, 512, PoseStyle(body=False, face=True, eyes=eyes_too)) for eyes_too in (True, False)}
    assert shown[True][eyes[:, 1], eyes[:, 0]].all()
    assert not shown[False][eyes[:, 1], eyes[:, 0]].any()


def test_controlnets_limbs_are_dim_and_its_joints_are_not():
    points = np.zeros((128, 3), np.float32)
    points[1], points[2] = (100, 256, 1), (400, 256, 1)
    picture = draw_skeleton(points, 512)
    assert picture[256, 250].tolist() == [153, 0, 0], "the first limb is red at 0.6"
    assert picture[256, 100].tolist() == [255, 85, 0], "the neck's joint is the second colour of eighteen"
    assert picture[252, 250].any()
    assert picture[260, 250].any()
    assert not picture[250, 250].any(), "four pixels on either side"


def test_mimicmotions_colours_follow_confidence_with_red_and_blue_exchanged():
    points = np.zeros((128, 3), np.float32)
    points[1], points[2] = (100, 256, 1), (400, 256, 0.5)
    picture = draw_skeleton(points, 512, PoseStyle("mimicmotion"))
    red, green, blue = picture[255:258, 250].max(0).tolist()
    assert red == green == 0
    assert 20 < blue < 153 * 0.5 + 10
    assert np.flatnonzero(picture[:, 250].any(-1)).size <= 4, "strokes of four pixels at 2160 are thin at 512"


def test_small_maps_place_joints_between_pixels():
    points = np.zeros((128, 3), np.float32)
    points[NOSE], points[1] = (40.25, 30.75, 1), (40.25, 90.0, 1)
    rows, columns = np.mgrid[:60, :128]
    joint = draw_skeleton(points, 128)[:60, :, 0].astype(float)  # the limb is blue, the nose's joint red
    centre = (joint * columns).sum() / joint.sum(), (joint * rows).sum() / joint.sum()
    assert centre == pytest.approx((40.25, 30.75), abs=0.15)


def test_points_left_of_and_above_the_picture_are_skipped():
    points = body()
    points[NOSE, :2] = (-5, 100)
    bare = points.copy()
    bare[NOSE, 2] = 0
    assert np.array_equal(draw_skeleton(points, 512), draw_skeleton(bare, 512))


def test_style_reads_back_what_it_says():
    for style in (PoseStyle(), PoseStyle("mimicmotion", body=False, face=True, hands=True, eyes=True)):
        assert PoseStyle.parse(str(style)) == style
    assert len(LIMBS) == 17
