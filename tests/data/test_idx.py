"""The IDX format, against bytes written by hand and against any bytes at all."""

import re
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aelab.data import idx


def test_labels_and_images_are_read_as_written():
    labels = b"\x00\x00\x08\x01" + b"\x00\x00\x00\x03" + b"\x07\x02\xff"
    assert idx.parse(labels, "labels").tolist() == [7, 2, 255]
    images = b"\x00\x00\x08\x03" + b"\x00\x00\x00\x02" + b"\x00\x00\x00\x01" + b"\x00\x00\x00\x03" + bytes(range(6))
    parsed = idx.parse(images, "images")
    assert parsed.dtype == np.uint8
    assert parsed.tolist() == [[[0, 1, 2]], [[3, 4, 5]]]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not an IDX file"),
        (b"\x00\x00\x08", "not an IDX file"),
        (b"\x1f\x8b\x08\x01\x00\x00\x00\x00", "not an IDX file"),
        (b"<html>not found</html>", "not an IDX file"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", "IDX type 0x0d with 1 axes; allowed: 0x08"),
        (b"\x00\x00\x08\x00\x07", "IDX type 0x08 with 0 axes"),
        (b"\x00\x00\x08\x05" + b"\x00\x00\x00\x01" * 5 + b"\x07", "IDX type 0x08 with 5 axes"),
        (b"\x00\x00\x08\x03\x00\x00\x00\x01\x00\x00", "cut within the IDX header"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x03\x01\x02", "promises 3 bytes, 2 follow"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x01\x01\x02", "promises 1 bytes, 2 follow"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x00", "empty axis"),
    ],
)
def test_other_bytes_are_refused_with_the_name_and_the_reason(content, problem):
    with pytest.raises(ValueError, match="^train-labels: .*" + problem):
        idx.parse(content, "train-labels")


axis = st.one_of(st.integers(0, 4), st.integers(0, 2**32 - 1))


@st.composite
def nearly(draw) -> bytes:
    """A header that may be right, and some bytes."""
    shape = draw(st.lists(axis, min_size=0, max_size=5))
    head = bytes((0, 0, draw(st.sampled_from([8, 8, 8, 9])), len(shape))) + struct.pack(f">{len(shape)}I", *shape)
    return head + draw(st.binary(max_size=32))


@given(st.one_of(st.binary(max_size=64), nearly()))
@example(b"\0\0\x08\x04" + struct.pack(">4I", 2**16, 2**16, 2**16, 2**16))  # the product is 0 modulo 2 ** 64
@example(b"\0\0\x08\x03" + struct.pack(">3I", 0, 2**32 - 1, 2**32 - 1))
def test_any_bytes_give_the_right_array_or_one_line(content):
    try:
        parsed = idx.parse(content, "some file")
    except ValueError as error:
        assert str(error).startswith("some file: ")  # noqa: PT017
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert parsed.dtype == np.uint8
        assert bytes((0, 0, 8, parsed.ndim)) + struct.pack(f">{parsed.ndim}I", *parsed.shape) == content[: -parsed.size]
        assert parsed.tobytes() == content[-parsed.size :]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_what_was_written_is_read(shape, random):
    numbers = random.randbytes(int(np.prod(shape)))
    parsed = idx.parse(bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + numbers, "file")
    assert parsed.shape == tuple(shape)
    assert parsed.tobytes() == numbers


@pytest.mark.parametrize("promised", [1_000_000, 4_000_000_000])
def test_no_more_memory_is_taken_than_the_content_has(promised):
    true = b"\0\0\x08\x01" + struct.pack(">I", 1_000_000) + bytes(1_000_000)
    content = true if promised == 1_000_000 else b"\0\0\x08\x01" + struct.pack(">I", promised) + bytes(10)
    tracemalloc.start()
    try:
        idx.parse(content, "file")
    except ValueError:
        assert promised > 1_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000  # the array is a view of the content


HUGE = (0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1)


@pytest.mark.parametrize("kind", [0x00, 0x07, 0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E, 0x7F, 0x80, 0xFF])
def test_no_header_makes_it_take_more_than_there_is(kind):
    """Every rank, with axes whose product is nothing, overflows 32 or 64 bits, or would fill a disk."""
    tracemalloc.start()
    for rank in (*range(7), 127, 128, 255):
        for axis in HUGE:
            content = bytes((0, 0, kind, rank)) + struct.pack(">I", axis) * rank + bytes(16)
            for end in range(0, len(content) + 1, 5):
                try:
                    parsed = idx.parse(content[:end], "file")
                except ValueError as error:
                    assert re.fullmatch(r"file: [^\n]+", str(error))  # noqa: PT017
                else:
                    assert (kind, axis, parsed.size) == (8, 1, end - 4 - 4 * rank)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000
