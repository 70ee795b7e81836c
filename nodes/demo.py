"""Drawn people, for trying the graph without a photograph."""

from __future__ import annotations

from comfy_api.latest import InputImpl, Types, io

from . import host
from .schema import schema


class DrawnFaces(io.ComfyNode):
    """A portrait, somebody else's performance, and what should come out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "DrawnFaces",
            "Drawn Faces",
            description="Draws a person, a driving clip of somebody else, and that person giving the same performance: the exact truth, "
            "for comparison. None of them was seen in training of the demo weights.",
            inputs=[
                io.Int.Input(
                    "pair",
                    default=3,
                    min=0,
                    max=100_000,
                    tooltip="Which two people and which performance, 0..100000; the same number draws the same. Default: 3.",
                ),
                io.Int.Input(
                    "frames",
                    default=48,
                    min=1,
                    max=1000,
                    tooltip="Length of the clip, 1..1000 frames at 12.5 frames/s. Default: 48, about 4 s.",
                ),
                io.Int.Input(
                    "size",
                    default=256,
                    min=64,
                    max=512,
                    step=2,
                    tooltip="Side of the pictures, 64..512 pixels. Default: 256; the demo set makes 128 of it.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="portrait", tooltip="One picture of a person about at rest."),
                io.Video.Output(display_name="driving", tooltip="Somebody else, who moves."),
                io.Image.Output(display_name="truth", tooltip="The person of the portrait in that performance."),
                io.Float.Output(display_name="fps", tooltip="Frames/s of both clips."),
            ],
        )

    @classmethod
    def execute(cls, pair: int, frames: int, size: int) -> io.NodeOutput:
        """Frame by frame."""
        from hp_core.demo.world import FPS, draw_pair
        from hp_core.image import to_float

        scene = host.watched(draw_pair(pair, frames, size))
        driving = InputImpl.VideoFromComponents(Types.VideoComponents(images=to_float(scene.driving), audio=None, frame_rate=FPS))
        return io.NodeOutput(to_float(scene.portrait[None]), driving, to_float(scene.truth), float(FPS))
