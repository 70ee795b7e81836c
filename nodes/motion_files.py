"""Motion Save and Motion Load."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from . import folders, sockets
from .schema import schema


class MotionSave(io.ComfyNode):
    """A motion template."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "MotionSave",
            "Motion Save",
            description=f"Writes a motion to output/{folders.MOTIONS} as .safetensors: no code inside, safe to share.",
            is_output_node=True,
            inputs=[
                sockets.Motion.Input("motion", tooltip="From Motion Encode, Edit or Mix."),
                io.String.Input(
                    "name",
                    default="motion",
                    tooltip="Start of the file's name, without folders; a number and .safetensors follow. Default: motion.",
                ),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Where it was written.")],
        )

    @classmethod
    def execute(cls, motion: Any, name: str) -> io.NodeOutput:
        """Beside its place, then renamed."""
        path = folders.new_motion_file(name)  # refuses names that would leave the folder
        motion.save(path)
        return io.NodeOutput(str(path))


class MotionLoad(io.ComfyNode):
    """A saved motion."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "MotionLoad",
            "Motion Load",
            description=f"Reads a motion saved by Motion Save, from {folders.MOTIONS} below the output or the input folder.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=folders.motion_files() or ["no motion saved yet"],
                    tooltip="A saved motion, the newest last. Press R after a new one was saved.",
                )
            ],
            outputs=[
                sockets.Motion.Output(display_name="motion", tooltip="Fits the weights that made it, and no others."),
                io.Float.Output(display_name="fps", tooltip="Frames/s it was made at, for Create Video."),
            ],
        )

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        """Tensors and their description; nothing in the file is run."""
        from hp_core.values import MotionTokens

        motion = MotionTokens.load(folders.motion_file(file))
        return io.NodeOutput(motion, float(motion.fps))

    @classmethod
    def fingerprint_inputs(cls, file: str, **_: object) -> str:
        """Read again when the file has changed."""
        from hp_core.weights.load import file_fingerprint

        return file_fingerprint(folders.motion_file(file)) if file in folders.motion_files() else file
