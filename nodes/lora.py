"""A LoRA on the UNet."""

from __future__ import annotations

from comfy_api.latest import io

from . import folders, host, sockets
from .schema import schema


class AddLora(io.ComfyNode):
    """The networks of a set with a LoRA on their UNet."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "Lora",
            "LoRA for HunyuanPortrait",
            description="Puts a LoRA of SVD's UNet on the model, such as an LCM-LoRA for few steps. Several can follow one another.",
            search_aliases=["lora loader", "lcm"],
            inputs=[
                sockets.Model.Input("model", tooltip="From Load HunyuanPortrait, or from another of these."),
                io.Combo.Input(
                    "lora",
                    options=folders.lora_files() or ["put .safetensors into models/loras"],
                    tooltip="From models/loras, of SVD's UNet; one that does not fit is refused. Press R for new files. Released: none.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    tooltip="How much of it is added, -10..10: 1 as trained, 0 none. Released: no LoRA.",
                ),
            ],
            outputs=[sockets.Model.Output(display_name="model", tooltip="For the sampler; the other blocks take either.")],
        )

    @classmethod
    def execute(cls, model: host.PortraitModel, lora: str, strength: float) -> io.NodeOutput:
        """The file is read and checked; ComfyUI adds it when the sampler runs."""
        return io.NodeOutput(host.with_lora(model, folders.lora_file(lora), strength))

    @classmethod
    def fingerprint_inputs(cls, lora: str, **_: object) -> str:
        """Read again when the file has changed."""
        from hp_core.weights.load import file_fingerprint

        return file_fingerprint(folders.lora_file(lora)) if lora in folders.lora_files() else lora
