"""What all tests share: fixed seeds and the folder of public data sets, where this machine has one."""

from __future__ import annotations

import os
import random
from pathlib import Path

import torch  # isort: skip  # before numpy and the extensions, so that all share torch's OpenMP runtime
import numpy as np
import pytest

# The processes that share the tests share the cores too: teams of threads that outnumber these wait for one another.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))

# Without a GPU, Triton kernels run in Triton's interpreter: decided before anything imports triton.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    """The same random numbers in every run and in every order of the tests."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (libraries under test may still draw from the global generator)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder ``../shared/data`` beside the checkout, with FAUST and others in their official layouts."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the data folder ../shared/data beside the checkout (see datasets/*/README.md)")
    return folder
