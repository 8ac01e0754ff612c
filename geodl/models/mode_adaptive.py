"""The mode-adaptive neural network: a mixture of experts for locomotion without a phase."""

from __future__ import annotations

from torch import Tensor, nn

from geodl.models.blended import BlendedNetwork

__all__ = ["ModeAdaptiveNetwork"]


class ModeAdaptiveNetwork(BlendedNetwork):
    r"""Three layers whose weights are a mean of experts, by a network that reads a part of the input.

    .. math:: y = f(x; \textstyle\sum_k a_k W_k), \qquad a = \operatorname{softmax}(g(x_{:G}))

    Args:
        in_channels: numbers that describe a frame and what is wanted.
        out_channels: numbers that describe the next frame.
        gate_channels: G, how many of the first of them the gating network reads, in the paper the velocities of the feet and what
            is wanted; all if not given.
        width: of both hidden layers.
        experts: ``K``.
        gate_width: of both hidden layers of the gating network.
        dropout: of the inputs of every layer.

    Shapes:
        x ``[B, in_channels]`` -> ``[B, out_channels]``.

    Zhang, Starke, Komura, Saito, "Mode-adaptive neural networks for quadruped motion control", 2018.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        gate_channels: int | None = None,
        width: int = 512,
        experts: int = 8,
        gate_width: int = 32,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(in_channels, out_channels, width, experts, dropout)
        self.gate_channels = in_channels if gate_channels is None else gate_channels
        self.gate = nn.Sequential(
            nn.Linear(self.gate_channels, gate_width), nn.ELU(), nn.Dropout(dropout),
            nn.Linear(gate_width, gate_width), nn.ELU(), nn.Dropout(dropout),
            nn.Linear(gate_width, experts),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channels]`` -> ``[B, out_channels]``."""
        return self.blended(x, self.blend(x))

    def blend(self, x: Tensor) -> Tensor:
        """How much of each expert the weights have for these inputs, ``[B, K]``; a row sums to 1."""
        score: Tensor = self.gate(x[:, : self.gate_channels])
        return score.softmax(1)
