"""The core of the operators. Read ``declaration`` (what an operator is) and ``operator`` (how it is called) first."""

from geodl.ops.core.csr import CSR
from geodl.ops.core.derivative import adjoint_operator
from geodl.ops.core.operator import Operator

__all__ = ["CSR", "Operator", "adjoint_operator"]
