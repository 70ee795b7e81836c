"""Run by ComfyUI's own Python: prints the largest differences of its VAEs from diffusers'."""

import re

from inside import found, part

# ruff: isort: split
import comfy.sd
import torch
from diffusers import AutoencoderKLTemporalDecoder

host = part("nodes.host")
svd_vae = part("hp_core.config").svd_vae


def original_layout(state):
    """Names of the original SVD checkpoint for diffusers' tensors; the quantising convolution is folded into the encoder's last."""
    resnet = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2", "conv_shortcut": "nin_shortcut"}
    time = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3"}
    attention = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
    renamed = {}
    for name, tensor in state.items():
        side, _, rest = name.partition(".")
        if side == "quant_conv":
            continue
        found = re.match(r"(mid_block|down_blocks\.(\d)|up_blocks\.(\d))\.resnets\.(\d)\.(.*)", rest)
        if found:
            _, down, up, number, tail = found.groups()
            middle = f"mid.block_{int(number) + 1}"
            place = f"down.{down}.block.{number}" if down else f"up.{3 - int(up)}.block.{number}" if up else middle
            if tail.startswith("time_mixer"):
                rest = f"{place}.mix_factor"
            elif tail.startswith("temporal_res_block"):
                part, kind = tail.split(".")[1:]
                rest = f"{place}.time_stack.{time[part]}.{kind}"
            else:
                part, kind = tail.removeprefix("spatial_res_block.").split(".")
                rest = f"{place}.{resnet[part]}.{kind}"
        elif rest.startswith("mid_block.attentions.0."):
            part, _, kind = rest.removeprefix("mid_block.attentions.0.").rpartition(".")
            rest = f"mid.attn_1.{attention[part]}.{kind}"
            tensor = tensor[:, :, None, None] if tensor.ndim == 2 else tensor
        else:
            rest = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", rest)
            rest = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda match: f"up.{3 - int(match[1])}.upsample", rest)
            rest = rest.replace("conv_norm_out", "norm_out").replace("time_conv_out", "conv_out.time_mix_conv")
        renamed[f"{side}.{rest}"] = tensor
    weight, bias = state["quant_conv.weight"].flatten(1), state["quant_conv.bias"]
    renamed["encoder.conv_out.weight"] = torch.einsum("om,mihw->oihw", weight, state["encoder.conv_out.weight"])
    renamed["encoder.conv_out.bias"] = weight @ state["encoder.conv_out.bias"] + bias
    return renamed


with torch.no_grad():
    torch.manual_seed(0)
    vae = AutoencoderKLTemporalDecoder.from_config(svd_vae()).eval()
    images = torch.rand(1, 64, 64, 3)
    latents = torch.randn(4, 4, 8, 8)
    decoded = (vae.decode(latents, num_frames=4).sample / 2 + 0.5).clamp(0, 1).movedim(1, -1)
    encoded = vae.encode(images.movedim(-1, 1) * 2 - 1).latent_dist.mode()
    state = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    ours = host.wrap_vae(vae)
    original = comfy.sd.VAE(sd=original_layout(state))
    errors = {
        "decoded": float((host.decoder(ours, 4)(latents) - decoded).abs().max()),
        "encoded": float((ours.encode(images) - encoded).abs().max()),
        "original layout": float((host.decoder(original, 4)(latents) - decoded).abs().max()),
    }
found(errors)
