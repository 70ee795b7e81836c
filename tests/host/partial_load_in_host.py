"""Run by ComfyUI's own Python: the demo's UNet with part of it left behind on the CPU, on a second device that the CPU plays.

Prints, for each way of loading, how many layers stayed behind and were brought over, and how far the result is from the whole UNet's.
"""

from pathlib import Path

from inside import found, part
from played_device import played_device

# ruff: isort: split
import comfy.model_management as mm
import comfy.ops
import torch

host = part("nodes.host")
CPU = torch.device("cpu")
cast_of, casts = comfy.ops.cast_bias_weight, []


def counted_cast(layer, given=None, *rest, **more):
    """ComfyUI's cast-on-use, and of which layers it brought weights over."""
    if given is not None and layer.weight is not None and layer.weight.device != given.device:
        casts.append(id(layer))
    return cast_of(layer, given, *rest, **more)


comfy.ops.cast_bias_weight = counted_cast


def evaluate(unet, device):
    """One evaluation, on the CPU: noise, a portrait and a motion that every call draws alike."""
    torch.manual_seed(1)
    config, side = models.config.unet, models.config.face.image_size // models.config.vae_scale_factor
    sample = torch.randn(1, 3, config["in_channels"], side, side)
    appearance, motion = torch.randn(1, 1, 8, config["cross_attention_dim"]), torch.randn(1, 3, 8, config["cross_attention_dim"])
    tokens = {"appearance": appearance.to(device), "motion": motion.to(device)}
    return unet(sample.to(device), 0.5, added_time_ids=torch.tensor([[12.5, 0.0, 0.0]]).to(device), **tokens).cpu()


def seen(unet, device, whole):
    """Where the layers lie, how many were brought over, and how far the result is from that of the whole network."""
    castable = [layer for layer in unet.modules() if hasattr(layer, "comfy_cast_weights")]
    behind = {id(layer) for layer in castable if layer.weight is not None and layer.weight.device != device}
    casts.clear()
    try:
        out = evaluate(unet, device)
    except RuntimeError as error:
        return {"layers": len(castable), "behind": len(behind), "error": str(error)}
    return {
        "layers": len(castable),
        "behind": len(behind),
        "brought over": len(set(casts)),
        "of those behind": set(casts) <= behind,
        "difference": float((out - whole).abs().max()),
    }


with torch.inference_mode(), played_device() as device:
    mm.get_torch_device = lambda: device
    mm.unet_offload_device = lambda: CPU
    folder = Path(part("hp_core.weights.catalog").DEMO_WEIGHTS)
    models = host.watched(part("hp_core.weights.load").load_models(folder, device="cpu", dtype=torch.float32))
    unet = models.unet
    part("hp_core.unet.temporal").set_spatial_only(unet, False)  # the temporal layers too, of which the demo needs none
    plain = evaluate(unet, CPU)
    network = host.Network(unet, partial=True)
    patcher = network.patcher
    size = patcher.model_size()
    result = {}

    patcher.load(device, full_load=True)
    whole = evaluate(unet, device)
    result["whole"] = seen(unet, device, whole) | {"difference from the plain network": float((whole - plain).abs().max())}
    patcher.partially_unload(CPU, size // 2)
    result["half unloaded"] = seen(unet, device, whole)
    patcher.partially_load(device, size // 4)
    result["a quarter loaded again"] = seen(unet, device, whole)
    patcher.detach()

    for name, budget in (("half", size // 2), ("a tenth", size // 10), ("nothing", 0.1)):
        patcher.load(device, lowvram_model_memory=budget)
        result[name] = seen(unet, device, whole)
        patcher.detach()
    result["left on the device"] = sum(tensor.device == device for tensor in unet.state_dict().values())
found(result)
