"""Run by ComfyUI's own Python: how far a weight with LoRAs lies from what it must be, step by step, as JSON.

Arguments: the checkout of ComfyUI, the folder of the pack, a set of weights, an empty folder.
"""

import json
import sys
from pathlib import Path

checkout, pack, weights, folder = sys.argv[1:5]
sys.path.insert(0, checkout)
sys.argv = sys.argv[:1]

from comfy.cli_args import args  # noqa: E402

args.cpu = True

import importlib.util  # noqa: E402

import comfy.model_management as mm  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

spec = importlib.util.spec_from_file_location("pack", f"{pack}/__init__.py", submodule_search_locations=[pack])
module = importlib.util.module_from_spec(spec)
sys.modules["pack"] = module
spec.loader.exec_module(module)
host = importlib.import_module("pack.nodes.host")

LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_v"
plain = host.PortraitModel(host.load(Path(weights), torch.float32, identity=None), "auto", "auto")
layer = plain.models.unet.get_submodule(LAYER)
old = layer.weight.detach().clone()
down, up = torch.randn(2, old.shape[1]), torch.randn(len(old), 2)
path = Path(folder) / "made.safetensors"
save_file({f"unet.{LAYER}.lora_A.weight": down, f"unet.{LAYER}.lora_B.weight": up}, path)
x = torch.randn(3, old.shape[1])


def error(model, strength):
    """The largest difference of the layer's answer while ``model`` runs."""
    with model.on_device("unet"), torch.no_grad():
        return float((layer(x) - x @ (old + strength * up @ down).T).abs().max())


one, strong = (host.with_lora(plain, path, strength) for strength in (1.0, 2.0))
steps = [(plain, 0.0), (one, 1.0), (strong, 2.0), (one, 1.0), (plain, 0.0), (host.with_lora(one, path, 0.5), 1.5)]
errors = [error(*step) for step in steps]
mm.unload_all_models()
errors += [error(one, 1.0), error(plain, 0.0)]
mm.unload_all_models()
zero = host.with_lora(plain, path, 0.0) is plain
json.dump({"errors": errors, "the same in the end": torch.equal(layer.weight, old), "zero is none": zero}, sys.stdout)
