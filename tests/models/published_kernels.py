"""The networks of HuguesTHOMAS/KPConv-PyTorch, from their formulas: dense neighbourhoods with a shadow point."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.nn import kernel_points
from tests.models.published_clouds import Layers, State, _cells, linear, normed

SHADOW = 1e6


@dataclass
class Plan:
    """A network: its list, its first grid, and what its kernels are."""

    blocks: list[str]
    cell: float = 0.12
    extent: float = 1.2
    width: int = 16
    norm: bool = True
    modulated: bool = False

    @property
    def parameters(self) -> dict[str, object]:
        return {
            "architecture": self.blocks, "first_subsampling_dl": self.cell, "KP_extent": self.extent, "conv_radius": 2.5,
            "deform_radius": 5.0, "first_features_dim": self.width, "use_batch_norm": self.norm, "batch_norm_momentum": 0.02,
            "modulated": self.modulated,
        }  # fmt: skip


class _Published(Layers):
    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.with_norm = norm

    def normed(self, name: str, d: int, norm: bool) -> None:
        if norm:
            self.norm(f"{name}.batch_norm", d)
        else:
            self.state[f"{name}.bias"] = 0.1 * torch.randn(d)

    def unary(self, name: str, c: int, d: int, norm: bool) -> None:
        self.conv(f"{name}.mlp", c, d, bias=False)
        self.normed(f"{name}.batch_norm", d, norm)

    def kernel(self, name: str, c: int, d: int, radius: float) -> None:
        turn = torch.linalg.qr(torch.randn(3, 3))[0]
        self.state[f"{name}.kernel_points"] = 0.66 * radius * kernel_points(15).float() @ turn
        self.state[f"{name}.weights"] = torch.randn(15, c, d) * (2 / c) ** 0.5 / 3


def weights(plan: Plan, channels: int, classes: int) -> State:
    """A random checkpoint, by the names and shapes of their modules."""
    layers, segments = _Published(plan.norm), "global_average" not in plan.blocks
    root = "encoder_blocks" if segments else "block_ops"
    c, width, radius, skips, level = channels, plan.width, 2.5 * plan.cell, list[int](), 0
    for k, name in enumerate(plan.blocks):
        at = f"{root}.{k}"
        if "upsample" in name or "global" in name:
            break
        if "strided" in name:
            skips.append(c)
        d = width // 2 if "simple" in name else width
        if name == "unary":
            layers.unary(at, c, d, plan.norm)
        else:
            a, b = (c, d) if "simple" in name else (d // 4, d // 4)
            layers.kernel(f"{at}.KPConv", a, b, radius)
            if "deformable" in name:
                layers.kernel(f"{at}.KPConv.offset_conv", a, (4 if plan.modulated else 3) * 15, radius)
                layers.state[f"{at}.KPConv.offset_bias"] = 0.2 * torch.randn(
                    (4 if plan.modulated else 3) * 15
                )
            layers.normed(f"{at}.batch_norm" + ("_conv" if "resnetb" in name else ""), b, plan.norm)
            if "resnetb" in name:
                if c != a:
                    layers.unary(f"{at}.unary1", c, a, plan.norm)
                layers.unary(f"{at}.unary2", b, d, plan.norm)
                if c != d:
                    layers.unary(f"{at}.unary_shortcut", c, d, plan.norm)
        c = d
        if "strided" in name:
            width, radius, level = 2 * width, 2 * radius, level + 1
    hidden = 1024
    if segments:
        for step in range(level):
            width, hidden = width // 2, plan.width
            layers.unary(f"decoder_blocks.{2 * step + 1}", c + skips.pop(), width, plan.norm)
            c = width
    layers.unary("head_mlp", c, hidden, False)
    layers.unary("head_softmax", hidden, classes, False)
    return layers.state


def _leaky(y: Tensor) -> Tensor:
    return y.where(y > 0, 0.1 * y)


def _normed(state: State, y: Tensor, name: str) -> Tensor:
    bias = state.get(f"{name}.bias")
    return normed(state, y, f"{name}.batch_norm") if bias is None else y + bias


def _unary(state: State, y: Tensor, name: str) -> Tensor:
    return _normed(state, linear(state, y, f"{name}.mlp"), f"{name}.batch_norm")


def _kernel(
    state: State, name: str, y: Tensor, source: Tensor, p: Tensor, near: Tensor, extent: float
) -> Tensor:
    points = state[f"{name}.kernel_points"].expand(len(p), -1, -1)
    scale = torch.ones_like(points[..., 0])
    if f"{name}.offset_bias" in state:
        said = (
            _kernel(state, f"{name}.offset_conv", y, source, p, near, extent) + state[f"{name}.offset_bias"]
        )
        points = points + extent * said[:, :45].view(-1, 15, 3)
        scale = 2 * said[:, 45:].sigmoid() if said.shape[1] > 45 else scale
    shadow = torch.full((1, 3), SHADOW, dtype=p.dtype)
    offset = torch.cat([source, shadow])[near] - p[:, None]
    window = (1 - (offset[:, :, None] - points[:, None]).norm(dim=3) / extent).clamp(min=0)
    read = torch.cat([y, torch.zeros_like(y[:1])])[near]
    return torch.einsum("nhk,nhc,nk,kcd->nd", window, read, scale, state[f"{name}.weights"])


def _near(p: Tensor, source: Tensor, reach: float) -> Tensor:
    """Neighbours within reach, and the shadow behind the last point in place of those that a row does not have."""
    distance = (source[None] - p[:, None]).norm(dim=2)
    order = distance.argsort(1).where(distance.sort(1)[0] <= reach, len(source))
    most = int((distance <= reach).sum(1).max())
    return torch.cat([order[:, :most], torch.full((len(p), 1), len(source))], 1)


def _grids(state: State, plan: Plan, p: Tensor, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    p, y = _cells(p, torch.cat([torch.ones_like(p[:, :1]), x], 1), plan.cell)
    root = "block_ops" if "block_ops.0.KPConv.weights" in state else "encoder_blocks"
    end = next(k for k, name in enumerate(plan.blocks) if "upsample" in name or "global" in name)
    reached, cell = [], plan.cell
    for k, name in enumerate(plan.blocks[:end]):
        at, q = f"{root}.{k}", p
        if "strided" in name:
            reached.append((p, y))
            q, _ = _cells(p, p, 2 * cell)
            far = "deformable" in name
        else:
            begin = max((j for j in range(k) if "strided" in plan.blocks[j]), default=-1) + 1
            last = next((j for j in range(k, end) if "strided" in plan.blocks[j]), end)
            far = any("deformable" in other for other in plan.blocks[begin:last])
        if name == "unary":
            y = _leaky(_unary(state, y, at))
            continue
        near = _near(q, p, (5.0 if far else 2.5) * cell)
        if "simple" in name:
            h = _kernel(state, f"{at}.KPConv", y, p, q, near, plan.extent * cell)
            y = _leaky(_normed(state, h, f"{at}.batch_norm"))
        else:
            h = _leaky(_unary(state, y, f"{at}.unary1")) if f"{at}.unary1.mlp.weight" in state else y
            h = _kernel(state, f"{at}.KPConv", h, p, q, near, plan.extent * cell)
            h = _unary(state, _leaky(_normed(state, h, f"{at}.batch_norm_conv")), f"{at}.unary2")
            if "strided" in name:
                y = torch.cat([y, torch.zeros_like(y[:1])])[near].amax(1)
            if f"{at}.unary_shortcut.mlp.weight" in state:
                y = _unary(state, y, f"{at}.unary_shortcut")
            y = _leaky(h + y)
        if "strided" in name:
            p, cell = q, 2 * cell
    return [*reached, (p, y)]


def _scores(state: State, y: Tensor) -> Tensor:
    return _unary(state, _leaky(_unary(state, y, "head_mlp")), "head_softmax")


def classify(state: State, plan: Plan, pos: Tensor, x: Tensor) -> Tensor:
    means = [_grids(state, plan, p, own)[-1][1].mean(0) for p, own in zip(pos, x, strict=True)]
    return _scores(state, torch.stack(means))


def segment(state: State, plan: Plan, pos: Tensor, x: Tensor) -> Tensor:
    scores = []
    for p, own in zip(pos, x, strict=True):
        *reached, (samples, y) = _grids(state, plan, p, own)
        for step, (points, skip) in enumerate(reversed(reached)):
            nearest = (points[:, None] - samples[None]).norm(dim=2).argmin(1)
            y = _leaky(_unary(state, torch.cat([y[nearest], skip], 1), f"decoder_blocks.{2 * step + 1}"))
            samples = points
        _, held = (p / plan.cell).floor().unique(dim=0, return_inverse=True)
        scores.append(_scores(state, y)[held])
    return torch.stack(scores)
