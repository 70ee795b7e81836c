"""DINOv2 with IMAdapters, ArcFace, and the stage; numbers of the released form are in tests/parity."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from hp_core.appearance.encode import encode_appearance, vit_input
from hp_core.appearance.identity import ArcFaceOnnx
from hp_core.appearance.im_adapter import IMAdapter
from hp_core.appearance.vit import AppearanceViT, TokenProjector
from hp_core.config import PortraitConfig
from hp_core.errors import OptionError, WeightsError
from hp_core.face.crop import ARCFACE_TEMPLATE
from hp_core.values import FaceTrack

CONFIG = PortraitConfig.demo().appearance


def vit(**changes) -> AppearanceViT:
    torch.manual_seed(0)
    model = AppearanceViT(replace(CONFIG, **changes)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):  # DINOv2 starts these at 1e-5, which would hide the blocks
            torch.nn.init.ones_(parameter)
    return model


@torch.no_grad()
def test_released_adapter_gives_every_patch_the_same_identity():
    torch.manual_seed(0)
    adapter = IMAdapter(CONFIG).eval()
    tokens, one, other = torch.randn(1, CONFIG.input_tokens, CONFIG.width), torch.randn(1, 512), torch.randn(1, 512)
    change = adapter(tokens, other) - adapter(tokens, one)
    patches = change[:, 1 + CONFIG.registers :]
    torch.testing.assert_close(patches, patches[:, :1].expand_as(patches), rtol=1e-4, atol=1e-5)
    assert patches.abs().max() > 1e-3
    assert change[:, : 1 + CONFIG.registers].abs().max() == 0  # class and registers see no identity


@torch.no_grad()
def test_convolutions_matter_in_the_papers_form_only():
    tokens, identity = torch.randn(1, CONFIG.input_tokens, CONFIG.width), torch.randn(1, 512)
    for query, matters in (("image", False), ("id", True)):
        torch.manual_seed(0)
        adapter = IMAdapter(replace(CONFIG, adapter_query=query)).eval()
        before = adapter(tokens, identity)
        adapter.branch3[1].conv.weight.mul_(-3)
        assert torch.equal(before, adapter(tokens, identity)) is not matters


def test_both_forms_share_names_and_shapes():
    shapes = [{k: v.shape for k, v in vit(adapter_query=q).state_dict().items()} for q in ("image", "id")]
    assert shapes[0] == shapes[1]


@torch.no_grad()
def test_input_sizes_and_positions():
    same = vit()
    assert same.positions() is same.pos_embed
    other = vit(image_size=140)  # 10 patches a side on a grid of 8
    assert other.positions().shape == (1, 101, CONFIG.width)
    assert other(torch.randn(1, 3, 140, 140), torch.zeros(1, 512)).shape == (1, 105, CONFIG.width)
    constant = torch.nn.Parameter(torch.ones_like(other.pos_embed))
    other.pos_embed = constant
    torch.testing.assert_close(other.positions(), torch.ones(1, 101, CONFIG.width))
    with pytest.raises(OptionError, match="multiple of the patch, 14"):
        replace(CONFIG, image_size=100)


@torch.no_grad()
def test_identity_reaches_the_tokens():
    model = vit()
    image = torch.randn(1, 3, 112, 112)
    assert not torch.allclose(model(image, torch.randn(1, 512)), model(image, torch.zeros(1, 512)), atol=1e-3)


def test_vit_input_is_normalised():
    grey = np.full((512, 512, 3), 128, np.uint8)
    out = vit_input(grey, 224)
    assert out.shape == (1, 3, 224, 224)
    expected = (128 / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(out[0, :, 5, 5], expected)


def arcface_file(path: Path, shape: tuple[int, ...] = (1, 3, 112, 112)) -> Path:
    """A tiny ONNX model of ArcFace's signature: a 16x16 mean grid of the three channels, flattened and cut to 512."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("AveragePool", ["data"], ["pooled"], kernel_shape=[7, 7], strides=[7, 7]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Slice", ["flat", "first", "last", "axis"], ["embedding"]),
    ]
    numbers = [helper.make_tensor(n, onnx.TensorProto.INT64, [1], [v]) for n, v in (("first", 0), ("last", 512), ("axis", 1))]
    graph = helper.make_graph(
        nodes,
        "arcface",
        [helper.make_tensor_value_info("data", kind, shape)],
        [helper.make_tensor_value_info("embedding", kind, [1, 512])],
        numbers,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def portrait_track() -> FaceTrack:
    rng = np.random.default_rng(0)
    crop, points = rng.integers(0, 255, (128, 128, 3), np.uint8), ARCFACE_TEMPLATE.astype(np.float32)
    one = np.zeros((1, 64, 64, 3), np.uint8)
    box, found = np.array([[0, 0, 100, 100]], np.float32), np.ones(1, bool)
    return FaceTrack(one, one, box, points[None], None, found, "error", (0, 0, 99, 99), crop, crop, points, True, Fraction(25), "t")


def encode(identity):
    projector = TokenProjector(CONFIG)
    return encode_appearance(vit(), projector, identity, lambda image: image[:, :1, ::8, ::8], portrait_track(), device="cpu")


def test_stage_with_and_without_identity(tmp_path):
    without, with_identity = encode(None), encode(ArcFaceOnnx(arcface_file(tmp_path / "arcface.onnx")))
    assert (without.identity, with_identity.identity) == ("none", "arcface")
    assert without.id_embedding.abs().max() == 0
    assert float(with_identity.id_embedding.norm()) == pytest.approx(1, abs=1e-5)
    assert without.tokens.shape == (1, CONFIG.tokens, CONFIG.width)
    crop = portrait_track().portrait_crop
    torch.testing.assert_close(without.reference_latent[0, 0], torch.from_numpy(crop[::8, ::8, 0] / 127.5 - 1).float())


def test_arcface_sees_rgb_between_zero_and_one(tmp_path):
    encoder = ArcFaceOnnx(arcface_file(tmp_path / "arcface.onnx"))
    face = np.zeros((112, 112, 3), np.float32)
    face[..., 0] = 1  # red: the first 256 numbers are its pooled grid
    embedding = encoder.embed(face)
    np.testing.assert_allclose(embedding[:256], 1 / 16, atol=1e-6)
    np.testing.assert_allclose(embedding[256:], 0, atol=1e-6)


def test_wrong_onnx_files_are_errors(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(WeightsError, match=r"broken\.onnx is not an ONNX model"):
        ArcFaceOnnx(broken)
    with pytest.raises(WeightsError, match=r"takes one input \(1, 3, 112, 112\)"):
        ArcFaceOnnx(arcface_file(tmp_path / "other.onnx", (1, 3, 224, 224)))
