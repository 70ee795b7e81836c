"""Pose of a real portrait and a real driving video: by the face track, and through DWPose's stand-ins."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from hp_core.config import AlignConfig, FaceConfig
from hp_core.face.analyzer import create_analyzer
from hp_core.face.track import track_faces
from hp_core.image import load_image
from hp_core.pose.align import align_pose, closest_pose_frame
from hp_core.pose.draw import distinct_maps
from hp_core.pose.keypoints import NOSE, VISIBLE
from hp_core.progress import result
from hp_core.values import FaceTrack
from hp_core.video import read_frames

FRAMES = 24


@pytest.fixture(scope="module")
def tracks(portrait_image: Path, driving_video: Path) -> tuple[FaceTrack, FaceTrack]:
    """The portrait's and the driver's."""
    pytest.importorskip("mediapipe")
    analyzer = create_analyzer()

    def track(frames: list[np.ndarray]) -> FaceTrack:
        return result(track_faces(frames, analyzer, FaceConfig(image_size=256), total=len(frames), fps=Fraction(30)))

    found = track([load_image(portrait_image)]), track(list(islice(read_frames(driving_video), FRAMES)))
    analyzer.close()
    return found


def test_the_driver_s_nose_starts_from_the_portrait_s_and_moves_as_far_in_faces(tracks: tuple[FaceTrack, FaceTrack]) -> None:
    portrait, driving = tracks
    pose = result(align_pose(driving, portrait, AlignConfig(mode="paper")))
    assert pose.skeletons is not None
    nose = pose.skeletons[:, NOSE]
    assert nose[:, 2].min() >= VISIBLE
    x1, y1, x2, _ = portrait.square
    scale = 256 / (x2 - x1)
    start = closest_pose_frame(driving.five_points, portrait.five_points[0])
    np.testing.assert_allclose(nose[start, :2], (portrait.five_points[0, 2] - [x1, y1]) * scale, atol=0.01)

    def face(track: FaceTrack) -> float:
        points = np.median(track.five_points, axis=0)
        return float(np.linalg.norm(points[:2].mean(0) - points[3:].mean(0)))

    moved = driving.five_points[:, 2] - driving.five_points[start, 2]
    np.testing.assert_allclose((nose[:, :2] - nose[start, :2]) / (face(portrait) * scale), moved / face(driving), atol=0.05)
    maps, rows = distinct_maps(pose, range(FRAMES))
    assert maps.amax(dim=(1, 2, 3))[rows].min() > 0.5, "something is drawn in every frame"


def test_dwpose_takes_a_real_video(tracks: tuple[FaceTrack, FaceTrack], driving_video: Path, tmp_path: Path) -> None:
    pytest.importorskip("rtmlib")
    from hp_core.pose.dwpose import DwposeEstimator, estimate_keypoints
    from tests.pose.test_dwpose import detector, estimator

    pose = DwposeEstimator(detector(tmp_path / "d.onnx", []), estimator(tmp_path / "e.onnx"), device="cpu")
    frames = list(islice(read_frames(driving_video), 3))
    keypoints = result(estimate_keypoints(frames, pose, total=3))
    assert keypoints.points.shape == (3, 128, 3)
    assert keypoints.size == (frames[0].shape[1], frames[0].shape[0])
    assert keypoints.found.all()
    assert (keypoints.points[keypoints.found][..., :2] >= 0).all()
    assert (keypoints.points[keypoints.found][..., :2] <= keypoints.size).all()
