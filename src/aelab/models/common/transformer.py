"""Transformer blocks, and the positions of tokens on a grid."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V for each head of size d (Vaswani et al. 2017): [B, T, D] -> [B, T, D].

    causal: a token sees itself and those before it.
    """

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each [B, heads, T, d]
        score = q @ k.transpose(2, 3) * q.shape[3] ** -0.5  # [B, heads, T, T]
        if self.causal:
            later = torch.ones(score.shape[2:], dtype=torch.bool, device=score.device).triu(1)
            score = score.masked_fill(later, -math.inf)
        share = score.softmax(3)
        return self.out((share @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A pre-norm transformer block, x + attention(norm x), then x + mlp(norm x): [B, T, D] -> [B, T, D]."""

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads, causal)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def grid_positions(rows: int, columns: int, width: int) -> Tensor:
    """Position embeddings [rows * columns, width]: sines and cosines of row and column (Vaswani 2017)."""
    speed = 10_000 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    row, column = (torch.arange(n, dtype=torch.float64)[:, None] * speed for n in (rows, columns))
    waves = [
        wave
        for angles in (row[:, None].expand(-1, columns, -1), column[None].expand(rows, -1, -1))
        for wave in (angles.sin(), angles.cos())
    ]
    return torch.cat(waves, 2).flatten(0, 1).float()
