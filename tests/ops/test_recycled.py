"""Memory that is handed out again."""

import copy
import gc

import torch

from geodl.ops.recycled import Recycled


def test_memory_is_used_again_when_no_tensor_lies_in_it() -> None:
    memory, like = Recycled(), torch.empty(0)
    first = memory.empty(like, 1000, 3)
    assert first.shape == (1000, 3) and first.dtype == torch.float32 and first.is_contiguous()
    first.fill_(1)
    address, part = first.data_ptr(), first[10:]
    other = memory.empty(like, 1000, 3).fill_(2)
    assert other.data_ptr() != address and (first == 1).all()
    del first
    gc.collect()
    assert memory.empty(like, 10).data_ptr() != address and (part == 1).all()  # a view of it is left
    del part
    gc.collect()
    again = memory.empty(like.double(), 1500)
    assert again.data_ptr() == address and again.dtype == torch.float64
    assert memory.empty(like, 0).shape == (0,)


def test_what_is_too_small_is_given_up_and_copies_begin_empty() -> None:
    memory, like = Recycled(), torch.empty(0)
    memory.empty(like, 100)
    assert len(memory._free) == 1 and not copy.deepcopy(memory)._free
    assert memory.empty(like, 1000).shape == (1000,)
    assert [part.nbytes for part in memory._free] == [4000]
    memory.release()
    assert not memory._free
