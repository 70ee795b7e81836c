"""Reference latent in, frames out, chunk by chunk."""

from __future__ import annotations

import pytest
import torch

from hp_core.config import PortraitConfig
from hp_core.errors import PortraitError
from hp_core.vae import decode_chunks, encode_reference, to_uint8
from hp_core.weights.load import build_module

CHANNELS = PortraitConfig.demo().vae["latent_channels"]


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return build_module("vae", PortraitConfig.demo()).eval().requires_grad_(False)


def test_reference_latent_is_the_mode(vae):
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    latent = encode_reference(vae, image)
    assert latent.shape == (1, CHANNELS, 8, 8)
    assert torch.equal(latent, encode_reference(vae, image))


def test_chunks_are_clips_of_their_own(vae):
    latents = torch.randn(11, CHANNELS, 4, 4)
    parts = dict(decode_chunks(vae, latents, chunk=4))
    assert [(start, len(frames)) for start, frames in parts.items()] == [(0, 4), (4, 4), (8, 3)]
    alone = vae.decode(latents[4:8], num_frames=4).sample
    torch.testing.assert_close(parts[4], alone)
    assert not torch.allclose(vae.decode(latents[:8], num_frames=8).sample[4:], alone, atol=1e-3)


def test_cutting_the_warm_up_changes_no_frame_and_skips_whole_chunks(vae):
    latents = torch.randn(14, CHANNELS, 4, 4)
    everything = torch.cat([frames for _, frames in decode_chunks(vae, latents, chunk=4)])
    decoded = []
    original = vae.decode

    def counted(*args, **kwargs):
        decoded.append(kwargs["num_frames"])
        return original(*args, **kwargs)

    vae.decode = counted
    try:
        kept = list(decode_chunks(vae, latents, chunk=4, keep=range(5, 9)))
    finally:
        vae.decode = original
    assert [start for start, _ in kept] == [5, 8]
    torch.testing.assert_close(torch.cat([frames for _, frames in kept]), everything[5:9])
    assert decoded == [4, 4]


def test_frames_stream_out_as_they_are_done(vae):
    chunks = decode_chunks(vae, torch.randn(8, CHANNELS, 4, 4), chunk=4)
    assert next(chunks)[0] == 0  # nothing forces the second chunk


def test_pixels_are_clamped_and_rounded():
    frames = torch.tensor([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]).view(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert to_uint8(frames)[0, 0, :, 0].tolist() == [0, 0, 128, 191, 255, 255]


def test_half_precision_encoder_is_upcast_and_put_back(vae):
    half = build_module("vae", PortraitConfig.demo()).eval().requires_grad_(False)
    half.load_state_dict(vae.state_dict())
    half.half()
    half.register_to_config(force_upcast=True)
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    latent = encode_reference(half, image)
    assert half.encoder.conv_in.weight.dtype == torch.float16
    assert latent.dtype == torch.float32
    torch.testing.assert_close(latent, encode_reference(vae, image), rtol=5e-3, atol=5e-3)


def test_nan_frames_are_an_error(vae):
    latents = torch.zeros(6, CHANNELS, 4, 4)
    latents[5] = float("nan")
    chunks = decode_chunks(vae, latents, chunk=4)
    next(chunks)
    with pytest.raises(PortraitError, match=r"frames 4 to 5 to NaN.*bfloat16"):
        next(chunks)
