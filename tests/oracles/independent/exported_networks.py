"""Networks of PyTorch that others evaluate: of MONAI, and such as DeepLab and SegFormer are, but small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import AttentionUnet, UNet
from torch import nn
from torch.nn import functional


class DeepLabLike(nn.Module):  # type: ignore[misc]  # torch is not where types are checked
    """Dilated convolutions beside the mean of the whole image, at a quarter of the size, resized to it again."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        )  # fmt: skip
        self.rates = nn.ModuleList(nn.Conv2d(8, 4, 3, padding=rate, dilation=rate) for rate in (1, 2, 4))
        self.whole = nn.Conv2d(8, 4, 1)
        self.last = nn.Conv2d(16, classes, 1)

    def forward(self, image: Any) -> Any:
        seen = self.stem(image)
        whole = self.whole(seen.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, seen.shape[2], seen.shape[3])
        joined = torch.cat([*(rate(seen) for rate in self.rates), whole], dim=1)
        return functional.interpolate(self.last(joined), scale_factor=4.0, mode="bilinear", align_corners=False)


class SegFormerLike(nn.Module):  # type: ignore[misc]  # likewise
    """Patches of 4x4 that attend to each other; `resized` to the size of the image, or a quarter of it."""

    def __init__(self, classes: int, resized: bool) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 7, stride=4, padding=3)
        self.norm = nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.last, self.resized = nn.Conv2d(16, classes, 1), resized

    def forward(self, image: Any) -> Any:
        seen = self.patches(image)
        _, channels, height, width = seen.shape
        tokens = self.norm(seen.flatten(2).transpose(1, 2))
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        scores = self.last(tokens.transpose(1, 2).reshape(1, channels, height, width))
        if not self.resized:
            return scores
        return functional.interpolate(scores, scale_factor=4.0, mode="bilinear", align_corners=False)


def u_net() -> Any:
    """Of MONAI, three classes."""
    return UNet(spatial_dims=2, in_channels=3, out_channels=3, channels=(8, 16, 32), strides=(2, 2), num_res_units=1)


def attention_u_net() -> Any:
    """Of MONAI, one output."""
    return AttentionUnet(spatial_dims=2, in_channels=3, out_channels=1, channels=(8, 16, 32), strides=(2, 2))


def export(network: Any, path: Path, side: int = 0) -> None:
    """Write a network as ONNX, for images of any size that it can have, or of side x side pixels alone."""
    network.eval()
    four = {name: 4 * torch.export.Dim(name, min=2, max=1024) for name in ("rows", "columns")}
    shapes = None if side else ({2: four["rows"], 3: four["columns"]},)
    example = torch.rand(1, 3, side or 64, side or 96)
    torch.onnx.export(
        network, (example,), path, input_names=["image"], output_names=["scores"], dynamic_shapes=shapes, dynamo=True
    )
