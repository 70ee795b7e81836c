"""Run by ComfyUI's own Python: prints what a partial load does with a UNet whose weights are kept in eight bits, as JSON.

`meta` stands for a card that has room for half of it. Arguments: the checkout of ComfyUI, the folder of the pack.
"""

import json
import sys

checkout, pack = sys.argv[1:3]
sys.path.insert(0, checkout)
sys.argv = sys.argv[:1]

from comfy.cli_args import args  # noqa: E402

args.cpu = True

import importlib.util  # noqa: E402

import torch  # noqa: E402

spec = importlib.util.spec_from_file_location("pack", f"{pack}/__init__.py", submodule_search_locations=[pack])
module = importlib.util.module_from_spec(spec)
sys.modules["pack"] = module
spec.loader.exec_module(module)
host = importlib.import_module("pack.nodes.host")
config = importlib.import_module("hp_core.config").PortraitConfig.demo()
build_module = importlib.import_module("hp_core.weights.load").build_module
fp8 = importlib.import_module("hp_core.weights.fp8")


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
    layers = [part for part in split.modules() if isinstance(part, fp8.Fp8Layer)]
    castable = {id(parameter) for part in split.modules() if hasattr(part, "comfy_cast_weights") for parameter in part.parameters()}
    # Computed in float32: half precision on a CPU is slow, and some of its kernels add up in another order each time.
    found = {
        "layers left behind": sum(part.weight.device.type == "cpu" for part in layers),
        "layers brought": sum(part.weight.device.type == "meta" for part in layers),
        "plain parameters left behind": sum(p.device.type == "cpu" and id(p) not in castable for p in split.parameters()),
        "device of the result": answer(split, "meta", torch.float16).device.type,
        "dtypes": sorted({str(parameter.dtype) for parameter in split.parameters()}),
    }
    whole = torch.nn.Module.to(build(), torch.float32)
    found["difference"] = float((answer(partially(torch.nn.Module.to(build(), torch.float32), "cpu"), "cpu", torch.float32)
                                 - answer(whole, "cpu", torch.float32)).abs().max())  # fmt: skip
sys.stdout.write(json.dumps(found) + "\n")
