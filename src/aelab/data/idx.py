"""The IDX format of MNIST: a typed header, then the numbers (LeCun, Cortes and Burges, "The MNIST database")."""

from __future__ import annotations

import math
import struct

import numpy as np

UBYTE = 0x08


def parse(content: bytes, where: str) -> np.ndarray:
    """The array of unsigned bytes in one IDX file, with the shape its header states.

    Raises ValueError, naming `where`, for another format or element type, or where header and length disagree.
    """
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ValueError(f"{where}: not an IDX file (its first two bytes are not zero)")
    kind, rank = content[2], content[3]
    if kind != UBYTE or not 1 <= rank <= 4:
        raise ValueError(
            f"{where}: IDX type 0x{kind:02x} with {rank} axes; allowed: 0x08 (unsigned bytes), 1 to 4 axes"
        )
    start = 4 + 4 * rank
    if len(content) < start:
        raise ValueError(f"{where}: cut within the IDX header ({len(content)} bytes)")
    shape = struct.unpack(f">{rank}I", content[4:start])
    if 0 in shape:
        raise ValueError(f"{where}: the IDX header states an empty axis: {shape}")
    if math.prod(shape) != len(content) - start:
        raise ValueError(f"{where}: the IDX header promises {math.prod(shape)} bytes, {len(content) - start} follow")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
