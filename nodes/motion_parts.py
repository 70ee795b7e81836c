"""Motion Trim and Motion Join."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from . import sockets
from .schema import schema


class MotionTrim(io.ComfyNode):
    """Some frames of a motion."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "MotionTrim",
            "Motion Trim",
            description="Some frames of a motion, such as one smile of a long video, to be joined, mixed or saved as a template.",
            inputs=[
                sockets.Motion.Input("motion", tooltip="From Motion Encode, Load or Edit."),
                io.Int.Input(
                    "start", default=0, min=0, max=1_000_000, tooltip="First frame kept, from 0; below the motion's length. Default: 0."
                ),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="Frames kept from there on, at most as many as there are; 0 keeps all to the end. Default: 0.",
                ),
            ],
            outputs=[sockets.Motion.Output(display_name="motion", tooltip="For the sampler, Motion Join, Mix or Save.")],
        )

    @classmethod
    def execute(cls, motion: Any, start: int, frames: int) -> io.NodeOutput:
        """Cut, and nothing else changed."""
        from hp_core.motion.edit import kept

        return io.NodeOutput(kept(motion, start, frames or None))


class MotionJoin(io.ComfyNode):
    """One motion after another."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "MotionJoin",
            "Motion Join",
            description="One motion after another, as one clip. Both need the same frame rate; Motion Edit's fps brings them there.",
            inputs=[
                sockets.Motion.Input("motion", tooltip="Comes first."),
                sockets.Motion.Input("other", tooltip="Comes after it; made by the same weights."),
                io.Int.Input(
                    "blend",
                    default=6,
                    min=0,
                    max=1000,
                    tooltip="Frames in which the first goes over into the second, which both share; 0 cuts. At most the shorter one's "
                    "length. Default: 6.",
                ),
            ],
            outputs=[sockets.Motion.Output(display_name="motion", tooltip="For the sampler, or for another Motion Join.")],
        )

    @classmethod
    def execute(cls, motion: Any, other: Any, blend: int) -> io.NodeOutput:
        """Crossfaded where they meet."""
        from hp_core.motion.edit import concatenated

        return io.NodeOutput(concatenated([motion, other], blend=blend))
