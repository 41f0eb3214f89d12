"""The arithmetic of convolutions: sizes, the matrices they are, and why a transposed one is a convolution too.

All for one channel and square strides. A convolution is linear in its map: y = M x with M [outputs, inputs], maps read
row by row; the transposed convolution of the same kernel, stride and padding is M^T (Dumoulin & Visin 2016). As in
torch, "convolution" does not flip its kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]  # rows, columns


def conv_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """Rows (or columns) that Conv2d and the poolings put out: floor((n + 2p - k) / s) + 1.

    The baseline drops what the last stride does not reach, so several sizes give the same output. Raises ValueError
    where
    the kernel is larger than the padded map.
    """
    if size + 2 * padding < kernel:
        raise ValueError(f"kernel: {kernel} is wrong; allowed: up to the padded map's {size + 2 * padding}")
    return (size + 2 * padding - kernel) // stride + 1


def conv_transpose_size(size: int, kernel: int, stride: int = 1, padding: int = 0, output_padding: int = 0) -> int:
    """Rows (or columns) that ConvTranspose2d puts out: (n - 1) s - 2p + k + output_padding.

    It is the smallest size that Conv2d maps to n; output_padding, below s, names one of the others.
    """
    return (size - 1) * stride - 2 * padding + kernel + output_padding


def conv_matrix(kernel: Tensor, size: Size, stride: int = 1, padding: int = 0) -> Tensor:
    """The matrix [outputs, inputs] of Conv2d with `kernel` [kh, kw] on maps of `size`.

    Row (i, j) is the kernel laid on a padded map at (i s, j s), the padding cut off.
    """
    kh, kw = kernel.shape
    rows, columns = conv_size(size[0], kh, stride, padding), conv_size(size[1], kw, stride, padding)
    padded = kernel.new_zeros(rows, columns, size[0] + 2 * padding, size[1] + 2 * padding)
    for i in range(rows):
        for j in range(columns):
            padded[i, j, i * stride : i * stride + kh, j * stride : j * stride + kw] = kernel
    inside = padded[:, :, padding : padding + size[0], padding : padding + size[1]]
    return inside.reshape(rows * columns, size[0] * size[1])


def conv_transpose_matrix(
    kernel: Tensor, size: Size, stride: int = 1, padding: int = 0, output_padding: int = 0
) -> Tensor:
    """The matrix [outputs, inputs] of ConvTranspose2d with `kernel` [kh, kw] on maps of `size`.

    Column (i, j) is what the one input (i, j) adds to the output: the kernel laid at (i s, j s), the padding cut off.
    """
    kh, kw = kernel.shape
    rows = conv_transpose_size(size[0], kh, stride, padding, output_padding)
    columns = conv_transpose_size(size[1], kw, stride, padding, output_padding)
    padded = kernel.new_zeros(*size, rows + 2 * padding, columns + 2 * padding)
    for i in range(size[0]):
        for j in range(size[1]):
            padded[i, j, i * stride : i * stride + kh, j * stride : j * stride + kw] = kernel
    inside = padded[:, :, padding : padding + rows, padding : padding + columns]
    return inside.reshape(size[0] * size[1], rows * columns).T


def conv_transpose_as_conv(
    x: Tensor, kernel: Tensor, stride: int = 1, padding: int = 0, output_padding: int = 0
) -> Tensor:
    """ConvTranspose2d of maps x [B, 1, H, W] with `kernel` [kh, kw], computed as a convolution of stride 1:

    s - 1 zeros between neighbours (none for stride 1), k - 1 - p zeros around (more below and right for
    output_padding; where p is larger, that much is cut off instead), and the kernel turned by 180 degrees.
    """
    (height, width), (kh, kw) = x.shape[2:], kernel.shape
    stuffed = x.new_zeros(len(x), 1, (height - 1) * stride + 1, (width - 1) * stride + 1)
    stuffed[:, :, ::stride, ::stride] = x
    above, left = kh - 1 - padding, kw - 1 - padding
    around = F.pad(stuffed, (left, left + output_padding, above, above + output_padding))
    return F.conv2d(around, torch.flip(kernel, (0, 1))[None, None])
