"""The published implementation of DiffusionNet (github.com/nmwsharp/diffusion-net), where the package is not at hand.

The same operations in the same order on the same layouts (a batch of one shape, gradients as sparse COO matrices), with the names
of its parameters; spectral diffusion and complex gradient features, as the comparisons have them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PublishedDiffusionNet(nn.Module):
    def __init__(
        self, in_channels: int, out_channels: int, width: int, blocks: int, dropout: bool = False
    ) -> None:
        super().__init__()
        self.first_lin = nn.Linear(in_channels, width)
        self.last_lin = nn.Linear(width, out_channels)
        for number in range(blocks):
            self.add_module(f"block_{number}", _Block(width, dropout))

    def forward(
        self, x: Tensor, mass: Tensor, evals: Tensor, evecs: Tensor, gradX: Tensor, gradY: Tensor
    ) -> Tensor:
        operators = tuple(tensor.unsqueeze(0) for tensor in (mass, evals, evecs, gradX, gradY))
        y = self.first_lin(x.unsqueeze(0))
        for name, block in self.named_children():
            if name.startswith("block_"):
                y = block(y, *operators)
        out: Tensor = self.last_lin(y).squeeze(0)
        return out


class _Block(nn.Module):
    def __init__(self, width: int, dropout: bool) -> None:
        super().__init__()
        self.diffusion = _Diffusion(width)
        self.gradient_features = _GradientFeatures(width)
        self.mlp = nn.Sequential()
        for layer, inputs in enumerate((3 * width, width, width)):
            if dropout and layer:
                self.mlp.add_module(f"miniMLP_mlp_layer_dropout_{layer:03d}", nn.Dropout(0.5))
            self.mlp.add_module(f"miniMLP_mlp_layer_{layer:03d}", nn.Linear(inputs, width))
            if layer < 2:
                self.mlp.add_module(f"miniMLP_mlp_act_{layer:03d}", nn.ReLU())

    def forward(
        self, x: Tensor, mass: Tensor, evals: Tensor, evecs: Tensor, grad_x: Tensor, grad_y: Tensor
    ) -> Tensor:
        diffused = self.diffusion(x, mass, evals, evecs)
        along = torch.stack(
            [
                torch.stack([torch.mm(grad_x[b], diffused[b]), torch.mm(grad_y[b], diffused[b])], dim=-1)
                for b in range(x.shape[0])
            ]
        )
        out: Tensor = self.mlp(torch.cat([x, diffused, self.gradient_features(along)], dim=-1)) + x
        return out


class _Diffusion(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.diffusion_time = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, mass: Tensor, evals: Tensor, evecs: Tensor) -> Tensor:
        self.diffusion_time.data = self.diffusion_time.data.clamp(min=1e-8)
        coefficients = torch.matmul(evecs.transpose(-2, -1), x * mass.unsqueeze(-1))
        decay = torch.exp(-evals.unsqueeze(-1) * self.diffusion_time.unsqueeze(0))
        return torch.matmul(evecs, decay * coefficients)


class _GradientFeatures(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.A_re = nn.Linear(width, width, bias=False)
        self.A_im = nn.Linear(width, width, bias=False)

    def forward(self, along: Tensor) -> Tensor:
        re, im = along[..., 0], along[..., 1]
        return torch.tanh(re * (self.A_re(re) - self.A_im(im)) + im * (self.A_re(im) + self.A_im(re)))
