"""Retargeting: motions of one skeleton on another, learned without pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch import Tensor

from geodl.data import Skeleton, forward_kinematics
from geodl.geometry import matrix_to_rotation_6d, rotation_6d_to_matrix
from geodl.models import RetargetingNetwork
from geodl.training.one_cycle import one_cycle

__all__ = ["Limbs", "RetargetingModule"]


@dataclass(frozen=True)
class Limbs:
    """Chains of bones whose ends are to go where those of another skeleton go, such as from hip to foot.

    Args:
        top, end: ``[L]`` int64, joints.
        length: ``[L]``, of all bones of the chain.
    """

    top: Tensor
    end: Tensor
    length: Tensor

    @classmethod
    def of(cls, skeleton: Skeleton, names: Sequence[tuple[str, str]]) -> Limbs:
        """The limbs between joints of these names.

        Raises:
            KeyError: no such joint.
            ValueError: the first is not above the second, or all bones between them have no length.
        """
        top, end, length = [], [], []
        for first, last in names:
            above, joint, whole = skeleton.number(first), skeleton.number(last), 0.0
            top.append(above)
            end.append(joint)
            while joint != above and joint >= 0:
                whole += float(skeleton.bone_lengths[joint])
                joint = int(skeleton.parents[joint])
            if joint != above:
                raise ValueError(f"{first!r} is not above {last!r}")
            if not whole > 0:
                raise ValueError(f"the limb from {first!r} to {last!r} has no length")
            length.append(whole)
        return cls(torch.tensor(top), torch.tensor(end), torch.tensor(length))

    def ends(self, positions: Tensor) -> Tensor:
        """Where ends are from the tops, in lengths of the limb, ``[..., J, 3]`` -> ``[..., L, 3]``."""
        step = positions[..., self.end, :] - positions[..., self.top, :]
        return step / self.length.to(positions)[:, None]


class RetargetingModule(L.LightningModule):
    r"""Training without pairs: motions of every skeleton, which may be quite different ones.

    .. math:: L = L_\text{own} + \lambda_e \, |e(D_b E_a x) - e(x)| + \lambda_z \, |E_b D_b E_a x - E_a x|

    Decoded on its own skeleton, a motion x is itself, in rotations and positions; on another one b, the ends of its limbs are as
    far from their tops, in lengths of the limb; and encoded again, it is the same motion. Positions follow from rotations by
    forward kinematics, so that bones keep their lengths exactly.

    Args:
        network: of these skeletons.
        skeletons: their bones.
        limbs: of each, in the same order.
        ends: :math:`\lambda_e`.
        latent: :math:`\lambda_z`.
        learning_rate: the highest of one cycle.

    A batch is a list of 6-D rotations ``[B, T, J, 6]``, one a skeleton.

    Aberman et al., "Skeleton-aware networks for deep motion retargeting", 2020.
    """

    def __init__(
        self,
        network: RetargetingNetwork,
        skeletons: Sequence[Skeleton],
        limbs: Sequence[Limbs],
        ends: float = 10.0,
        latent: float = 0.5,
        learning_rate: float = 3e-3,
    ) -> None:
        super().__init__()
        self.network, self.skeletons, self.limbs = network, list(skeletons), list(limbs)
        self.weights, self.learning_rate = (ends, latent), learning_rate

    def forward(self, rotation: Tensor, source: int, target: int) -> Tensor:
        """6-D rotations ``[B, T, J, 6]`` of one skeleton as such ``[B, T, J', 6]`` of another."""
        made: Tensor = self.network(rotation.permute(0, 3, 2, 1), source, target)
        return made.permute(0, 3, 2, 1)

    def reach(
        self, made: Tensor, rotation: Tensor, source: int, target: int, steps: int = 40, rate: float = 0.02
    ) -> Tensor:
        """Retargeted rotations, changed a little by Adam so that the ends of limbs go where those of the source go.

        Args:
            made: 6-D rotations ``[B, T, J', 6]`` of the target, by :meth:`forward` or otherwise.
            rotation: those ``[B, T, J, 6]`` of the source.
            source, target: numbers of the skeletons.
            steps, rate: of Adam.

        Returns:
            ``[B, T, J', 6]``.
        """
        wanted = self.limbs[source].ends(self._positions(rotation.permute(0, 3, 2, 1), source)).detach()
        with torch.enable_grad():
            change = torch.zeros_like(made).requires_grad_()
            optimizer = torch.optim.Adam([change], rate)
            for _ in range(steps):
                turned = made.detach() + change
                ends = self.limbs[target].ends(self._positions(turned.permute(0, 3, 2, 1), target))
                jump = torch.diff(change, dim=1).square().sum() if change.shape[1] > 1 else 0.0
                loss = (ends - wanted).square().sum() + 0.01 * change.square().sum() + 0.1 * jump
                [change.grad] = torch.autograd.grad(loss, [change])
                optimizer.step()
        rotations = rotation_6d_to_matrix(made.detach() + change.detach())
        return matrix_to_rotation_6d(rotations)

    def training_step(self, batch: Sequence[Tensor], _: int) -> Tensor:
        own, ends, latent = [], [], []
        for source, rotation in enumerate(batch):
            x = rotation.permute(0, 3, 2, 1)
            z = self.network.encode(x, source)
            again = self.network.decode(z, source)
            true = self._positions(x, source)
            size = self.limbs[source].length.mean()
            away = (self._positions(again, source) - true).norm(dim=-1).mean() / size
            own.append(10 * (again - x).square().mean() + 5 * away)
            for target in range(len(batch)):
                if target == source:
                    continue
                other = self.network.decode(z, target)
                reached = self.limbs[target].ends(self._positions(other, target))
                ends.append((reached - self.limbs[source].ends(true)).norm(dim=-1).mean())
                latent.append((self.network.encode(other, target) - z).abs().mean())
        parts = [torch.stack(losses).mean() for losses in (own, ends, latent)]
        named = zip(("own", "ends", "latent"), parts, strict=True)
        self.log_dict({name: part.detach() for name, part in named}, batch_size=len(batch[0]))
        return parts[0] + self.weights[0] * parts[1] + self.weights[1] * parts[2]

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), self.learning_rate, weight_decay=1e-3)
        return one_cycle(self, optimizer, self.learning_rate)

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        self.clip_gradients(optimizer, 5.0, "norm")

    def _positions(self, x: Tensor, number: int) -> Tensor:
        rotation = rotation_6d_to_matrix(x.permute(0, 3, 2, 1))
        root = rotation.new_zeros(*rotation.shape[:2], 1, 3)
        return forward_kinematics(rotation, root, self.skeletons[number])
