"""Run by ComfyUI's own Python: the blocks one after the other on the CPU, then on a second device that the CPU plays.

Prints, for each memory mode and each way the card's free memory goes, the largest difference of the pictures from the CPU's and the
share of the UNet's bytes that lay on the device at last; and how many tensors are left there when everything is let go.
"""

import gc

from inside import found, part
from played_device import Elsewhere, played_device

# ruff: isort: split
import comfy.model_management as mm
import torch

folders = part("nodes.folders")
folders.register()
part("hp_core.unet.temporal").is_still = lambda _: False  # so that the demo's temporal layers run too
BLOCKS = {node.__name__: node for node in part("nodes.extension").NODES}


def run(name, **inputs):
    """What a block gives."""
    return BLOCKS[name].execute(**inputs).result


def pictures(portrait, driving, memory, rooms):
    """Pictures of three frames by every block that holds a network, and the UNet's share; in each of ``rooms`` it samples once."""
    model, vae, _ = run("Load", weights=folders.DEMO, precision="fp32", analyzer="mediapipe", memory=memory, attention="math")
    motion = run("MotionEncode", model=model, face_track=driving, intensity=run("IntensityEstimate", face_track=driving, rule="paper")[0])
    appearance = run("AppearanceEncode", model=model, vae=vae, portrait=portrait)
    given = {"model": model, "appearance": appearance[0], "motion": motion[0], "seed": 1, "steps": 1, "sampler": "euler"}
    given |= {"appearance_guidance": 1.0, "motion_guidance": 1.0, "options": {"pad_frames": 0}}
    made = []
    for state, free in rooms:
        mm.vram_state, mm.get_free_memory = state, lambda _=None, torch_free_too=False, free=free: (free, 0) if torch_free_too else free
        made.append(run("PortraitSampler", **given)[0])
    patcher = model.loaded.networks["unet"].patcher
    share = patcher.loaded_size() / patcher.model_size()
    return torch.cat([run("PortraitDecode", latent=latent, vae=vae, chunk=2)[0] for latent in made]), share


with torch.inference_mode():
    analyzer = run("Load", weights=folders.DEMO, precision="fp32", analyzer="mediapipe", memory="auto", attention="math")[2]
    portrait, driving, _, _ = run("DrawnFaces", pair=3, frames=3, size=256)
    rule = {"which": "largest", "face_index": 0, "on_missing": "hold", "crop": "whole", "start": 0, "frames": 0}
    tracks = [run("FaceCrop", analyzer=analyzer, **clip, **rule)[0] for clip in ({"images": portrait}, {"video": driving})]
    roomy = mm.VRAMState.NORMAL_VRAM, 64 << 30
    tight = mm.VRAMState.NORMAL_VRAM, int(mm.minimum_inference_memory()) - 20_000_000  # somebody else has taken most of the card
    none = mm.VRAMState.NO_VRAM, tight[1]
    plain, _ = pictures(*tracks, "auto", [roomy])
    result = {"spread": float(plain.std())}
    mm.unload_all_models()
    with played_device() as device:
        mm.get_torch_device = lambda: device
        cases = {"roomy": ("auto", [roomy]), "frugal": ("frugal", [roomy]), "whole": ("whole", [roomy])}
        cases |= {"tight the second time": ("auto", [roomy, tight]), "no room": ("auto", [none])}
        for name, case in cases.items():
            made, share = pictures(*tracks, *case)
            difference = max(float((part - plain).abs().max()) for part in made.split(len(plain)))
            result[name] = {"difference": difference, "share": share}
        mm.unload_all_models()
        gc.collect()
        result["left on the device"] = sum(type(item) is Elsewhere for item in gc.get_objects())
found(result)
