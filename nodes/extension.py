"""Every block, in the order the data flows."""

from comfy_api.latest import ComfyExtension, io

from . import folders
from .appearance import AppearanceEncode
from .decode import PasteBack, PortraitDecode
from .demo import DrawnFaces
from .face import FaceCrop, TrackPreview
from .load import Download, Load
from .lora import AddLora
from .motion import IntensityEstimate, MotionEncode
from .motion_edit import MotionEdit, MotionMix
from .motion_files import MotionLoad, MotionSave
from .motion_parts import MotionJoin, MotionTrim
from .pose import DwposeKeypoints, PoseAlign
from .sampler import PortraitSampler, SamplerOptions

NODES: list[type[io.ComfyNode]] = [
    Load,
    Download,
    AddLora,
    FaceCrop,
    IntensityEstimate,
    MotionEncode,
    AppearanceEncode,
    PoseAlign,
    DwposeKeypoints,
    PortraitSampler,
    SamplerOptions,
    PortraitDecode,
    PasteBack,
    MotionSave,
    MotionLoad,
    MotionEdit,
    MotionMix,
    MotionTrim,
    MotionJoin,
    TrackPreview,
    DrawnFaces,
]


class HunyuanPortraitExtension(ComfyExtension):
    """The pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """The blocks to register."""
        return NODES


async def comfy_entrypoint() -> HunyuanPortraitExtension:
    """What ComfyUI calls once when it starts."""
    folders.register()  # here, because hosts before 0.14 never call `on_load`
    return HunyuanPortraitExtension()
