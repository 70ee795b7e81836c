"""Training of a small ID encoder with ArcFace's interface and loss (Deng et al. 2019), for the demo weights."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from hp_core.errors import OptionError
from hp_core.face.crop import ARCFACE_SIZE, arcface_align
from hp_core.files import written_beside
from hp_core.training.settings import IdentityTraining
from hp_core.training.store import Store
from hp_core.training.trainer import step_seed

EMBEDDING = 512
HALVINGS = 6


class IdentityNet(nn.Module):
    """Halving convolutions, then one linear layer over the whole map."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        channels = [3] + [min(width << i, 8 * width) for i in range(HALVINGS)]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(channels))
        self.norms = nn.ModuleList(nn.GroupNorm(8, b) for b in channels[1:])
        side = ARCFACE_SIZE
        for _ in range(HALVINGS):
            side = (side + 1) // 2
        self.out = nn.Linear(channels[-1] * side * side, EMBEDDING)

    def forward(self, faces: Tensor) -> Tensor:
        """(n, 3, 112, 112) in 0..1 -> (n, 512), of any length."""
        x = faces * 2 - 1
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = F.relu(norm(layer(x)))
        return self.out(x.flatten(1))


class ArcFaceLoss(nn.Module):
    """Softmax over the cosines to one centre a person, the right one's angle widened by a margin."""

    def __init__(self, net: IdentityNet, people: int, *, margin: float, scale: float) -> None:
        super().__init__()
        self.net, self.margin, self.scale = net, margin, scale
        self.centres = nn.Parameter(torch.randn(people, EMBEDDING) / EMBEDDING**0.5)

    def forward(self, faces: Tensor, person: Tensor) -> dict[str, Tensor]:
        """faces (n, 3, 112, 112) in 0..1, person (n,) long."""
        cosine = F.normalize(self.net(faces).float()) @ F.normalize(self.centres.float()).T
        angle = torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6))
        widened = torch.where(F.one_hot(person, len(self.centres)).bool(), angle + self.margin, angle)
        logits = self.scale * torch.cos(widened.clamp(max=torch.pi))
        return {"loss": F.cross_entropy(logits, person), "right": (cosine.argmax(1) == person).float().mean()}


class IdentityTask:
    """Aligned faces of the store's people; the export is an ONNX file.

    Raises:
        OptionError: the store shows one person only.
    """

    def __init__(self, config: IdentityTraining, store: Store, held_out: Store, output: Path) -> None:
        self.config, self.store, self.held_out, self.output = config, store, held_out, output
        self.people = sorted(set(store.people))
        if len(self.people) < 2:
            raise OptionError(f"The clips in {store.folder} show {len(self.people)} person; an ID encoder needs at least two.")
        torch.manual_seed(config.optim.seed)
        self.net = IdentityNet(width=config.width)
        self.model: nn.Module = ArcFaceLoss(self.net, len(self.people), margin=config.margin, scale=config.scale)

    def batch(self, step: int, rows: range) -> dict[str, Tensor]:
        """Random frames of random people, aligned with an error like a detector's."""
        rng = np.random.default_rng(step_seed(self.config.optim.seed, step))
        count = self.config.optim.batch
        clips, parts = rng.integers(len(self.store), size=count), rng.random(count)
        errors = rng.normal(0, self.config.jitter, (count, 5, 2))
        faces = [self._face(self.store, int(clips[row]), parts[row], errors[row]) for row in rows]
        people = [self.people.index(self.store.people[int(clips[row])]) for row in rows]
        return {"faces": torch.stack(faces), "person": torch.tensor(people)}

    def _face(self, store: Store, index: int, part: float, error: np.ndarray) -> Tensor:
        frame = np.array([int(part * store.lengths[index])])
        item = store.read(index, ("frames", "crop_points"), frame)
        image, points = item["frames"][0].numpy(), item["crop_points"][0].numpy()
        across = float(np.linalg.norm(points[1] - points[0])) + float(np.linalg.norm(points[4] - points[3]))
        return rearrange(torch.from_numpy(arcface_align(image, points + error * across)), "h w c -> c h w")

    @torch.no_grad()
    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Mean cosine of two frames of one held-out person, of two people, and how often the own person is nearer."""
        still, device = np.zeros((5, 2)), next(self.net.parameters()).device
        first, second = (
            F.normalize(self.net(torch.stack([self._face(self.held_out, i, part, still) for i in range(len(self.held_out))]).to(device)))
            for part in (0.0, 0.7)
        )
        cosine = first @ second.T
        same, others = cosine.diagonal(), cosine - 2 * torch.eye(len(cosine), device=device)
        return {
            "same": float(same.mean()),
            "other": float((cosine.sum() - same.sum()) / max(cosine.numel() - len(cosine), 1)),
            "nearer": float((same > others.max(1).values).float().mean()),
        }

    def export(self, state: dict[str, Tensor]) -> None:
        """Write the ONNX model: input (1, 3, 112, 112) in 0..1, output (1, 512)."""
        net = IdentityNet(width=self.config.width).eval()
        net.load_state_dict({name.removeprefix("net."): value for name, value in state.items() if name.startswith("net.")})
        export_onnx(net, self.output)


def export_onnx(net: IdentityNet, output: Path) -> None:
    """``net`` as an ONNX file with ArcFace's interface; the file holds 8 bits a weight, the arithmetic is float32.

    Raises:
        OptionError: the package onnx is not installed.
    """
    import warnings

    output.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(output) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that another exporter exists, which needs another package
        try:
            example = (torch.zeros(1, 3, ARCFACE_SIZE, ARCFACE_SIZE),)
            torch.onnx.export(net, example, str(temporary), input_names=["data"], output_names=["embedding"], dynamo=False)
            _compress(temporary)
        except ImportError as error:
            raise OptionError(f"The ID encoder is written as ONNX, which needs the package onnx ({error}): pip install onnx.") from error


def _compress(path: Path) -> None:
    """Store the float32 weights of an ONNX file as int8 with a scale for each output, biases as float16; loading makes them float32."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    first, scales = [], []
    for weight in model.graph.initializer:
        if weight.data_type != TensorProto.FLOAT:
            continue
        name, values = weight.name, numpy_helper.to_array(weight)
        if values.ndim < 2:
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            first.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
            continue
        largest = np.abs(values).reshape(len(values), -1).max(1)  # (outputs,)
        scale = np.maximum(largest, 1e-12).astype(np.float32) / 127
        steps = np.rint(values / scale.reshape(-1, *[1] * (values.ndim - 1))).astype(np.int8)
        weight.CopyFrom(numpy_helper.from_array(steps, f"{name}.int8"))
        scales.append(numpy_helper.from_array(scale, f"{name}.scale"))
        first.append(helper.make_node("DequantizeLinear", [weight.name, f"{name}.scale"], [name], axis=0))
    model.graph.initializer.extend(scales)
    nodes = [*first, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, str(path))
