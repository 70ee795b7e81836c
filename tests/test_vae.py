"""Reference latent in, frames out, chunk by chunk."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hp_core.config import PortraitConfig
from hp_core.errors import OptionError, PortraitError
from hp_core.vae import decode_chunks, encode_reference, in_chunks, to_uint8
from hp_core.weights.load import build_module

CHANNELS = PortraitConfig.demo().vae["latent_channels"]


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return build_module("vae", PortraitConfig.demo()).eval().requires_grad_(False)


def test_reference_latent_is_the_mode(vae):
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    latent = encode_reference(vae, image)
    assert latent.shape == (1, CHANNELS, *[64 // PortraitConfig.demo().vae_scale_factor] * 2)
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


@given(st.integers(1, 40), st.integers(1, 9), st.data())
def test_overlapping_chunks_give_every_frame_once_and_fade(frames, chunk, data):
    overlap = data.draw(st.integers(0, chunk - 1))
    first, last = sorted(data.draw(st.tuples(st.integers(0, frames), st.integers(0, frames))))
    calls = []

    def decode(part):  # frames of one number: which chunk they came from
        calls.append(part[:, 0].tolist())
        return torch.full((len(part), 1), float(len(calls)))

    latents = torch.arange(frames)[:, None]
    parts = list(in_chunks(decode, latents, chunk=chunk, overlap=overlap, keep=range(first, last)))
    assert [index for start, part in parts for index in range(start, start + len(part))] == list(range(first, last))
    assert all(len(call) <= chunk for call in calls)
    assert all(second[:overlap] == one[len(one) - overlap :] for one, second in pairwise(calls))
    numbers = torch.cat([part for _, part in parts]).flatten() if parts else torch.empty(0)
    assert (numbers.diff() >= 0).all()  # from one chunk to the next, never back
    if 2 * overlap < chunk:  # else one fade begins where the last one ends
        assert (numbers.diff() <= 1 / (overlap + 1) + 1e-6).all()


def test_an_overlap_changes_only_what_is_shared(vae):
    latents = torch.randn(7, CHANNELS, 4, 4)
    plain = [vae.decode(latents[a:b], num_frames=b - a).sample for a, b in ((0, 4), (3, 7))]
    frames = torch.cat([part for _, part in decode_chunks(vae, latents, chunk=4, overlap=1)])
    torch.testing.assert_close(frames[:3], plain[0][:3])
    torch.testing.assert_close(frames[3], (plain[0][3] + plain[1][0]) / 2)
    torch.testing.assert_close(frames[4:], plain[1][1:])


def test_an_overlap_of_the_whole_chunk_is_refused(vae):
    with pytest.raises(OptionError, match="decode_overlap is 4; it must be between 0 and 3"):
        next(decode_chunks(vae, torch.randn(7, CHANNELS, 4, 4), chunk=4, overlap=4))


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
