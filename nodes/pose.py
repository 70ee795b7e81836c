"""Pose Align."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from hp_core.config import POSE_MODES

from . import sockets
from .schema import schema


class PoseAlign(io.ComfyNode):
    """What the pose guider is shown."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "PoseAlign",
            "Pose Align",
            description="Makes the pose map of every frame. The released inference shows the pose guider a black picture.",
            inputs=[
                sockets.FaceTrack.Input("face_track", tooltip="Face Crop of the driving video: one map for each of its frames."),
                sockets.FaceTrack.Input("portrait", tooltip="Face Crop of the portrait: the map has the size of its square crop."),
                io.Combo.Input("mode", options=list(POSE_MODES), default="released", tooltip="released: black, as the released inference."),
            ],
            outputs=[
                sockets.Pose.Output(display_name="pose", tooltip="For the sampler."),
                io.Image.Output(display_name="preview", tooltip="The distinct maps; the released mode has one."),
            ],
        )

    @classmethod
    def execute(cls, face_track: Any, portrait: Any, mode: str) -> io.NodeOutput:
        """One map a frame."""
        from hp_core.pose.align import align_pose, preview

        pose = align_pose(face_track, portrait, mode=mode)
        return io.NodeOutput(pose, preview(pose))
