"""The U-Net of SynThal, in PyTorch, for training and export only (inference runs on OpenVINO)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from torch import nn


def convolutions(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3 x 3 x 3 convolutions, each with instance norm and leaky ReLU."""
    layers: list[nn.Module] = []
    for n in (inputs, outputs):
        layers += [
            nn.Conv3d(n, outputs, 3, padding=1, bias=False),
            nn.InstanceNorm3d(outputs, affine=True),
            nn.LeakyReLU(0.01),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Plain U-Net with `widths` channels a level.

    Max pooling going down; 1 x 1 x 1 convolution, nearest upsampling and skip going up. Maps (n, 1, x, y, z) to
    logits (n, classes, x, y, z); x, y and z are multiples of 2 ** (levels - 1).
    """

    def __init__(self, classes: int, widths: tuple[int, ...]):
        super().__init__()
        self.down = nn.ModuleList(convolutions(a, b) for a, b in pairwise((1, *widths)))
        up = widths[::-1]
        self.narrow = nn.ModuleList(nn.Conv3d(a, b, 1, bias=False) for a, b in pairwise(up))
        self.up = nn.ModuleList(convolutions(2 * b, b) for b in up[1:])
        self.head = nn.Conv3d(widths[0], classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level, block in enumerate(self.down):
            if level:
                x = nn.functional.max_pool3d(x, 2)
            x = block(x)
            skips.append(x)
        skips.pop()
        for narrow, block in zip(self.narrow, self.up, strict=True):
            # narrowing before upsampling does the same work on an eighth of the voxels
            x = nn.functional.interpolate(narrow(x), scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skips.pop()], 1))
        return self.head(x)


def exported_name(parameter: str) -> str:
    """The constant of an exported network that holds a parameter of :class:`UNet`."""
    owner, what = parameter.rsplit(".", 1)
    if owner == "head" and what == "bias":
        return "__module.head/aten::_convolution/Reshape_compressed"
    if owner.split(".")[-1] in ("1", "4") and owner.count(".") == 2:  # instance norm
        return f"__module.{owner}/aten::instance_norm/Reshape{'_1' if what == 'bias' else ''}_compressed"
    return f"self.{parameter}_compressed"


def load_exported(model: UNet, path: Path) -> None:
    """Give a model the 16-bit weights of an exported network (.xml beside its .bin)."""
    constants = {
        op.get_friendly_name(): op for op in ov.Core().read_model(path).get_ops() if op.get_type_name() == "Constant"
    }
    model.load_state_dict(
        {
            name: torch.from_numpy(np.array(constants[exported_name(name)].data, np.float32).reshape(old.shape))
            for name, old in model.state_dict().items()
        }
    )


WIDTHS = {"roi": (16, 32, 64, 128), "head": (8, 16, 32, 64)}
