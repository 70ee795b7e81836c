"""Pose Align, and the keypoints it may be given."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from hp_core.config import ON_MISSING, POSE_DRAWINGS, POSE_MODES

from . import folders, host, sockets
from .schema import advanced, previews, schema


class PoseAlign(io.ComfyNode):
    """What the pose guider is shown."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "PoseAlign",
            "Pose Align",
            description="Makes the pose map of every frame: black, as the released inference has it, or the driver's skeleton brought onto "
            "the portrait.",
            inputs=[
                sockets.FaceTrack.Input("face_track", tooltip="Face Crop of the driving video: one map for each of its frames."),
                sockets.FaceTrack.Input("portrait", tooltip="Face Crop of the portrait: the map has the size of its square crop."),
                sockets.Keypoints.Input(
                    "driving_keypoints",
                    optional=True,
                    tooltip="Of the same frames as face_track, from DWPose Keypoints or any block with POSE_KEYPOINT. Free: nose, neck "
                    "and face points of the track.",
                ),
                sockets.Keypoints.Input(
                    "portrait_keypoints", optional=True, tooltip="Of the portrait's whole picture. Free: those of its track."
                ),
                io.Combo.Input(
                    "mode",
                    options=list(POSE_MODES),
                    default="released",
                    tooltip="released: black, as the released inference. paper: nose onto nose, scaled by the skeletons' lengths. "
                    "identity: where the driver is in its own square, for a driver framed like the portrait. Released: released.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-4.0,
                    max=4.0,
                    step=0.05,
                    tooltip="How much of the head's movement and change of size is taken, -4..4: 0 stands still, 1 is as it is, below 0 "
                    "mirrors. Not for mode = released. Default: 1.",
                ),
                advanced(
                    io.Boolean.Input("lock_x", default=False, tooltip="On: the head keeps its place from left to right. Default: off.")
                ),
                advanced(
                    io.Boolean.Input("lock_y", default=False, tooltip="On: the head keeps its place from top to bottom. Default: off.")
                ),
                advanced(
                    io.Boolean.Input(
                        "lock_scale", default=False, tooltip="On: the skeleton keeps its size when the driver comes nearer. Default: off."
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "level",
                        default=False,
                        tooltip="On: turn by the angle between the necks too, for a tilted camera; mode = paper, and keypoints "
                        "at both inputs. Default: off.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "reference",
                        default=-1,
                        min=-1,
                        max=1_000_000,
                        tooltip="Frame of the driver, from 0, that is laid onto the portrait. Default: -1, the one whose head is held "
                        "most like the portrait's.",
                    )
                ),
                advanced(
                    io.Combo.Input(
                        "on_missing",
                        options=list(ON_MISSING),
                        default="interpolate",
                        tooltip="Frames in which nobody is seen. interpolate: between their neighbours. hold: as the one before. "
                        "error: stop and name the frame. Default: interpolate.",
                    )
                ),
                advanced(
                    io.Combo.Input(
                        "drawing",
                        options=list(POSE_DRAWINGS),
                        default="controlnet",
                        tooltip="Style of the skeleton; which of them the released weights saw is not public, so compare. Default: "
                        "controlnet.",
                    )
                ),
                advanced(io.Boolean.Input("body", default=True, tooltip="Draw limbs and joints of the body. Default: on.")),
                advanced(
                    io.Boolean.Input(
                        "face",
                        default=False,
                        tooltip="Draw the face's points, its eyes' with eyes on; they carry the driver's face shape. Default: off.",
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "hands",
                        default=False,
                        tooltip="Draw the fingers of both hands, where keypoints with hands are connected. Default: off.",
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "eyes",
                        default=False,
                        tooltip="Draw the eye and ear points of the body, and of the face, if drawn, the 12 of the eyes. Paper: only "
                        "within one person. Default: off.",
                    )
                ),
                previews("preview", "3 MB"),
            ],
            outputs=[
                sockets.Pose.Output(display_name="pose", tooltip="For the sampler."),
                io.Image.Output(display_name="preview", tooltip="The maps, as many as previews says; the released mode has one for all."),
            ],
        )

    @classmethod
    def execute(
        cls,
        face_track: Any,
        portrait: Any,
        mode: str,
        strength: float,
        driving_keypoints: Any = None,
        portrait_keypoints: Any = None,
        drawing: str = "controlnet",
        body: bool = True,
        face: bool = False,
        hands: bool = False,
        eyes: bool = False,
        previews: int = 64,
        **rules: Any,
    ) -> io.NodeOutput:
        """One map a frame."""
        from hp_core.config import AlignConfig, PoseStyle
        from hp_core.pose.align import align_pose
        from hp_core.pose.keypoints import of_track
        from hp_core.preview import pose_pictures

        config = AlignConfig(mode=mode, strength=strength, style=PoseStyle(drawing, body, face, hands, eyes), **rules)
        stage = align_pose(
            face_track,
            portrait,
            config,
            driving_keypoints=of_track(driving_keypoints, face_track) if config.draws_skeleton else None,
            portrait_keypoints=of_track(portrait_keypoints, portrait) if config.draws_skeleton else None,
        )
        pose = host.watched(stage)
        return io.NodeOutput(pose, pose_pictures(pose, previews))


class DwposeKeypoints(io.ComfyNode):
    """Whole-body keypoints of one person."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "DwposeKeypoints",
            "DWPose Keypoints",
            description="Body, face and hand points of one person in every frame, as other packs' POSE_KEYPOINT. Needs the package rtmlib "
            "and two files (Download HunyuanPortrait, what = dwpose).",
            search_aliases=["openpose", "pose estimation", "skeleton"],
            inputs=[
                io.Image.Input("images", optional=True, tooltip="Frames, or one picture. Leave free if a video is connected."),
                io.Video.Input("video", optional=True, tooltip="Read frame by frame. Used instead of images if both are connected."),
                sockets.FaceTrack.Input(
                    "face_track",
                    optional=True,
                    tooltip="Face Crop of the same frames: whose keypoints. Free: the largest person.",
                ),
                io.Int.Input(
                    "start",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="First frame to use, counted from 0; as in Face Crop of the same clip. Default: 0.",
                ),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="Most frames to use, from start on; as in Face Crop of the same clip. Default: 0, all.",
                ),
            ],
            outputs=[sockets.Keypoints.Output(display_name="keypoints", tooltip="For Pose Align, or any block that takes POSE_KEYPOINT.")],
        )

    @classmethod
    def execute(cls, start: int, frames: int, images: Any = None, video: Any = None, face_track: Any = None) -> io.NodeOutput:
        """Frame by frame."""
        from hp_core.pose.dwpose import DwposeEstimator, estimate_keypoints
        from hp_core.pose.keypoints import nose_path, to_openpose

        clip = host.open_clip(images, video, start=start, frames=frames, with_sound=False)
        estimator = DwposeEstimator(folders.needed_file("dwpose_detector"), folders.needed_file("dwpose"))
        keypoints = host.watched(estimate_keypoints(clip.frames, estimator, total=clip.total, near=nose_path(face_track, clip.total)))
        return io.NodeOutput(to_openpose(keypoints))

    @classmethod
    def fingerprint_inputs(cls, **_: object) -> str:
        """Look again when one of the two files has come or changed."""
        from hp_core.weights.load import file_fingerprint

        files = [folders.find_file(name) for name in ("dwpose_detector", "dwpose")]
        return " ".join("none" if file is None else file_fingerprint(file) for file in files)
