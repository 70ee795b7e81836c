"""Motion Edit and Motion Mix."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from hp_core.config import MOTION_ENDS, MOTION_FILTERS, MOTION_PACES, MOTION_TRANSLATIONS

from . import sockets
from .schema import advanced, schema


class MotionEdit(io.ComfyNode):
    """One motion, changed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "MotionEdit",
            "Motion Edit",
            description="Stronger or weaker expression and head movement, less jitter, another length, an end that meets the beginning. "
            "The defaults change nothing.",
            inputs=[
                sockets.Motion.Input("motion", tooltip="The motion to change, from Motion Encode or Motion Load."),
                io.Float.Input(
                    "expression",
                    default=1.0,
                    min=-2.0,
                    max=4.0,
                    step=0.05,
                    tooltip="Strength of the expression about the neutral frame, -2..4: 0 holds it, 1 is as it is, above 1 exaggerates. "
                    "Default: 1.",
                ),
                io.Float.Input(
                    "rotation",
                    default=1.0,
                    min=-2.0,
                    max=4.0,
                    step=0.05,
                    tooltip="Strength of the head's turns about the neutral frame, -2..4: 0 holds it, 1 is as it is, below 0 mirrors. "
                    "Default: 1.",
                ),
                io.Int.Input(
                    "smooth",
                    default=1,
                    min=1,
                    max=99,
                    step=2,
                    tooltip="Window of the smoothing, 1..99 frames, odd; wider is calmer and flattens quick moves. Default: 1, none.",
                ),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="Stretch or squeeze the motion to so many frames. Default: 0, its own length.",
                ),
                io.Combo.Input(
                    "end",
                    options=list(MOTION_ENDS),
                    default="as it is",
                    tooltip="loop: the last frames go over into the first ones. ping-pong: forward, then backward, about twice as long. "
                    "Default: as it is.",
                ),
                advanced(
                    io.Combo.Input(
                        "filter",
                        options=list(MOTION_FILTERS),
                        default="savgol",
                        tooltip="savgol: no delay, keeps blinks. one_euro: calms stillness most, follows fast moves. Default: savgol; "
                        "without effect at smooth = 1.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "neutral",
                        default=-1,
                        min=-1,
                        max=100_000,
                        tooltip="Number of the neutral frame, from 0 to the clip's last, about which strength is counted. "
                        "Default: -1, the most usual face.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "yaw",
                        default=0.0,
                        min=-90.0,
                        max=90.0,
                        step=0.5,
                        tooltip="Turn of the head added to every frame, -90..90 degrees. Default: 0.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "pitch",
                        default=0.0,
                        min=-90.0,
                        max=90.0,
                        step=0.5,
                        tooltip="Nod of the head added to every frame, -90..90 degrees. Default: 0.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "roll",
                        default=0.0,
                        min=-90.0,
                        max=90.0,
                        step=0.5,
                        tooltip="Tilt of the head added to every frame, -90..90 degrees. Default: 0.",
                    )
                ),
                advanced(
                    io.Combo.Input(
                        "translation",
                        options=list(MOTION_TRANSLATIONS),
                        default="as it is",
                        tooltip="The head's place in the motion: released is zero, predicted the encoder's own. Weights know the one they "
                        "were trained on. Default: as it is.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "turn",
                        default=1.0,
                        min=-2.0,
                        max=4.0,
                        step=0.05,
                        tooltip="The head's turns, counted from straight ahead, times this, -2..4: 0 looks ahead, below 0 mirrors. "
                        "Default: 1.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "fps",
                        default=0.0,
                        min=0.0,
                        max=240.0,
                        step=0.01,
                        tooltip="The same seconds at another frame rate, 0.1 to 240 frames/s. Default: 0, the motion's own.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "hold_before",
                        default=0,
                        min=0,
                        max=100_000,
                        tooltip="Hold the first frame for so many extra frames. Default: 0.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "hold_after",
                        default=0,
                        min=0,
                        max=100_000,
                        tooltip="Hold the last frame for so many extra frames. Default: 0.",
                    )
                ),
            ],
            outputs=[
                sockets.Motion.Output(display_name="motion", tooltip="For the sampler."),
                io.Float.Output(display_name="fps", tooltip="Frames/s of the result, for Create Video."),
            ],
        )

    @classmethod
    def execute(cls, motion: Any, **changes: Any) -> io.NodeOutput:
        """In the order of `hp_core.config.MotionEdit`."""
        from hp_core.config import MotionEdit
        from hp_core.motion.edit import edited

        changed = edited(motion, MotionEdit(**changes))
        return io.NodeOutput(changed, float(changed.fps))


class MotionMix(io.ComfyNode):
    """Two motions in one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "MotionMix",
            "Motion Mix",
            description="Expression of one motion with the head of another, or something between the two.",
            inputs=[
                sockets.Motion.Input("motion", tooltip="Gives the expression and the length."),
                sockets.Motion.Input("other", tooltip="Gives the head's rotation and place."),
                io.Float.Input(
                    "head",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Share of the other's head, 0..1: 0 keeps the first's, 1 takes the other's. Default: 1.",
                ),
                io.Float.Input(
                    "expression",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Share of the other's expression, 0..1: 0 keeps the first's. Default: 0.",
                ),
                io.Boolean.Input(
                    "relative",
                    default=False,
                    tooltip="On: the other's turns are added to where the first looks when it rests. Off: taken as they are. Default: off.",
                ),
                io.Combo.Input(
                    "pace",
                    options=list(MOTION_PACES),
                    default="keep",
                    tooltip="keep: the other at its own speed, cut off or held at its end. stretch: all of it over the first's frames. "
                    "Default: keep.",
                ),
                advanced(
                    io.Int.Input(
                        "neutral",
                        default=-1,
                        min=-1,
                        max=100_000,
                        tooltip="Number of the frame, from 0, in which the first looks at rest, for relative. Default: -1, the usual face.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "other_neutral",
                        default=-1,
                        min=-1,
                        max=100_000,
                        tooltip="Number of the frame, from 0, in which the other looks at rest, for relative. Default: -1, the usual face.",
                    )
                ),
            ],
            outputs=[sockets.Motion.Output(display_name="motion", tooltip="For the sampler.")],
        )

    @classmethod
    def execute(cls, motion: Any, other: Any, **shares: Any) -> io.NodeOutput:
        """Parts of two."""
        from hp_core.motion.edit import mixed

        return io.NodeOutput(mixed(motion, other, **shares))
