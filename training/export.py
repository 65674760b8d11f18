"""Write the averaged weights of a training run as OpenVINO IR with 16-bit weights, the form that the package ships.

Run: ``python -m training.export {roi,head} RUN_DIR [DESTINATION]``
"""

from __future__ import annotations

import argparse
from pathlib import Path

import openvino as ov
import torch

from thalbids.inference.synthal import ROI_SHAPE, WEIGHTS
from training.network import WIDTHS, UNet
from training.train import CLASSES


def export(kind: str, run: Path, destination: Path) -> int:
    """Write `destination`/`kind`.xml and .bin; gives the training step of the weights."""
    state = torch.load(run / "last.pt", weights_only=True)
    model = UNet(CLASSES[kind], WIDTHS[kind])
    model.load_state_dict(state["average"])
    model.eval()
    if kind == "roi":
        shape: list[int] = [1, 1, *ROI_SHAPE]
    else:
        shape = [1, 1, -1, -1, -1]
    example = torch.zeros(1, 1, *ROI_SHAPE)
    converted = ov.convert_model(model, example_input=example, input=[shape])
    destination.mkdir(parents=True, exist_ok=True)
    ov.save_model(converted, destination / f"{kind}.xml", compress_to_fp16=True)
    return int(state["step"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("roi", "head"))
    parser.add_argument("run", type=Path)
    parser.add_argument("destination", type=Path, nargs="?", default=WEIGHTS)
    args = parser.parse_args()
    print(f"{args.kind}: weights of step {export(args.kind, args.run, args.destination)}")


if __name__ == "__main__":
    main()
