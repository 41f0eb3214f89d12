"""Sizes, matrices and the flipped-kernel identity of convolutions, against torch."""

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import conv_arithmetic as shapes

few = settings(max_examples=60, deadline=None, derandomize=True)
kernels = st.integers(1, 5)
strides = st.integers(1, 4)
paddings = st.integers(0, 4)
sizes = st.tuples(st.integers(1, 8), st.integers(1, 8))


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def transposed_fits(size, kernel, stride, padding, extra=0):
    return all(shapes.conv_transpose_size(n, k, stride, padding, extra) > 0 for n, k in zip(size, kernel, strict=True))


@few
@given(st.integers(1, 40), kernels, strides, paddings)
def test_a_convolution_s_size_is_torch_s(size, kernel, stride, padding):
    assume(size + 2 * padding >= kernel)
    out = F.conv2d(torch.zeros(1, 1, size, size), torch.zeros(1, 1, kernel, kernel), stride=stride, padding=padding)
    assert out.shape[2] == shapes.conv_size(size, kernel, stride, padding)


@few
@given(st.integers(1, 20), kernels, strides, paddings, st.integers(0, 3))
def test_a_transposed_convolution_s_size_is_torch_s_and_undoes_a_convolution_s(size, kernel, stride, padding, extra):
    assume(extra < stride)
    bigger = shapes.conv_transpose_size(size, kernel, stride, padding, extra)
    assume(bigger > 0)
    weight = torch.zeros(1, 1, kernel, kernel)
    out = F.conv_transpose2d(
        torch.zeros(1, 1, size, size), weight, stride=stride, padding=padding, output_padding=extra
    )
    assert out.shape[2] == bigger
    assert shapes.conv_size(bigger, kernel, stride, padding) == size  # for every extra: the baseline hides it


def test_sizes_by_hand():
    # the net `conv`: 28 -> 10 -> (pool) 5 -> 5 -> (pool) 2 -> 5 -> 15 -> 28
    assert shapes.conv_size(28, 3, 3, 1) == 10  # floor(27 / 3) + 1
    assert [shapes.conv_size(10, 2, 2), shapes.conv_size(5, 3, 1, 1), shapes.conv_size(5, 2, 2)] == [5, 5, 2]
    assert shapes.conv_size(6, 3, 2) == shapes.conv_size(5, 3, 2) == 2  # the baseline
    back = [shapes.conv_transpose_size(*layer) for layer in ((2, 3, 2), (5, 5, 3, 1), (15, 2, 2, 1))]
    assert back == [5, 15, 28]
    with pytest.raises(ValueError, match=r"^kernel: 5 is wrong; allowed: up to the padded map's 4"):
        shapes.conv_size(2, 5, 1, 1)


def test_a_matrix_by_hand():
    kernel = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    expected = [
        [1.0, 2, 0, 3, 4, 0, 0, 0, 0],
        [0, 1.0, 2, 0, 3, 4, 0, 0, 0],
        [0, 0, 0, 1.0, 2, 0, 3, 4, 0],
        [0, 0, 0, 0, 1.0, 2, 0, 3, 4],
    ]
    assert shapes.conv_matrix(kernel, (3, 3)).tolist() == expected
    assert shapes.conv_transpose_matrix(kernel, (2, 2)).T.tolist() == expected


@few
@given(sizes, st.tuples(kernels, kernels), strides, paddings)
def test_a_convolution_is_its_matrix(size, kernel, stride, padding):
    assume(all(n + 2 * padding >= k for n, k in zip(size, kernel, strict=True)))
    weight, x = rand(*kernel), rand(3, 1, *size)
    y = F.conv2d(x, weight[None, None], stride=stride, padding=padding)
    matrix = shapes.conv_matrix(weight, size, stride, padding)
    assert matrix.shape == (y[0].numel(), x[0].numel())
    torch.testing.assert_close(x.flatten(1) @ matrix.T, y.flatten(1))


@few
@given(sizes, st.tuples(kernels, kernels), strides, paddings, st.integers(0, 3))
def test_a_transposed_convolution_is_its_matrix_and_a_convolution_of_the_padded_map(
    size, kernel, stride, padding, extra
):
    assume(extra < stride)
    assume(transposed_fits(size, kernel, stride, padding, extra))
    weight, x = rand(*kernel), rand(3, 1, *size)
    y = F.conv_transpose2d(x, weight[None, None], stride=stride, padding=padding, output_padding=extra)
    matrix = shapes.conv_transpose_matrix(weight, size, stride, padding, extra)
    assert matrix.shape == (y[0].numel(), x[0].numel())
    torch.testing.assert_close(x.flatten(1) @ matrix.T, y.flatten(1))
    torch.testing.assert_close(shapes.conv_transpose_as_conv(x, weight, stride, padding, extra), y)


@few
@given(sizes, st.tuples(kernels, kernels), strides, paddings, st.integers(0, 3))
def test_the_two_matrices_are_each_other_s_transposes(size, kernel, stride, padding, extra):
    assume(extra < stride)
    assume(transposed_fits(size, kernel, stride, padding, extra))
    weight = rand(*kernel)
    rows, columns = (
        shapes.conv_transpose_size(n, k, stride, padding, extra) for n, k in zip(size, kernel, strict=True)
    )
    up = shapes.conv_transpose_matrix(weight, size, stride, padding, extra)
    assert torch.equal(up, shapes.conv_matrix(weight, (rows, columns), stride, padding).T)
