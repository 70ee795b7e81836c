"""Run by ComfyUI's own Python: prints what a partial load does with a UNet whose weights are kept in eight bits.

`meta` stands for a card that has room for half of it.
"""

from inside import found, part

# ruff: isort: split
import torch

host, fp8 = part("nodes.host"), part("hp_core.weights.fp8")
build_module = part("hp_core.weights.load").build_module
config = part("hp_core.config").PortraitConfig.demo()


def build():
    """The same UNet every time."""
    torch.manual_seed(0)
    unet = build_module("unet", config).eval().requires_grad_(False)
    fp8.store_in_fp8(unet)
    return torch.nn.Module.to(unet, torch.float16)


def answer(unet, device, dtype):
    """One evaluation, the appearance projected beforehand as the sampler does."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(device, dtype)

    return unet(
        normal(1, 2, config.unet["in_channels"], 8, 8),
        1.3,
        motion=normal(1, 2, 8, 128),
        added_time_ids=torch.tensor([[12.5, 0.0, 0.0]], device=device),
        appearance=unet.project_appearance(normal(1, 16, 128)),
    )


def partially(unet, device):
    """``unet`` in ComfyUI's care, half of it loaded."""
    network = host.Network(unet, partial=True)
    network.patcher.load(torch.device(device), lowvram_model_memory=network.patcher.model_size() // 2)
    return unet


with torch.no_grad():
    split = partially(build(), "meta")
    layers = [layer for layer in split.modules() if isinstance(layer, fp8.Fp8Layer)]
    castable = {id(parameter) for layer in split.modules() if hasattr(layer, "comfy_cast_weights") for parameter in layer.parameters()}
    # Computed in float32: half precision on a CPU is slow, and some of its kernels add up in another order each time.
    seen = {
        "layers left behind": sum(layer.weight.device.type == "cpu" for layer in layers),
        "layers brought": sum(layer.weight.device.type == "meta" for layer in layers),
        "plain parameters left behind": sum(p.device.type == "cpu" and id(p) not in castable for p in split.parameters()),
        "device of the result": answer(split, "meta", torch.float16).device.type,
        "dtypes": sorted({str(parameter.dtype) for parameter in split.parameters()}),
    }
    whole = torch.nn.Module.to(build(), torch.float32)
    seen["difference"] = float((answer(partially(torch.nn.Module.to(build(), torch.float32), "cpu"), "cpu", torch.float32)
                                 - answer(whole, "cpu", torch.float32)).abs().max())  # fmt: skip
found(seen)
