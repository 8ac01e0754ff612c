"""A file is there whole or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from geodl.data.whole_file import whole_file


def test_the_old_file_stays_until_the_block_has_ended(tmp_path):
    path = tmp_path / "made" / "numbers.txt"
    for text in ("one", "two"):
        before = path.read_text() if path.exists() else None
        with whole_file(path) as temporary:
            temporary.write_text(text)
            assert (path.read_text() if path.exists() else None) == before
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "numbers.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), whole_file(path) as temporary:
        temporary.write_text("ne")
        raise OSError("disk full")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_threads_that_write_at_once_leave_one_whole_text(tmp_path):
    path = tmp_path / "numbers.txt"

    def write(digit):
        with whole_file(path) as temporary:
            for _ in range(200):
                with temporary.open("a") as file:
                    file.write(str(digit) * 50)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(8)))
    text = path.read_text()
    assert len(text) == 10_000 and len(set(text)) == 1
    assert list(tmp_path.iterdir()) == [path]
