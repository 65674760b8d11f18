"""DBSegment's network by nnU-Net's own code and by thalbids, side by side: processor time, memory, labels.

Run: ``python benchmarks/dbsegment.py PYTHON [--size X Y Z] [--folds N] [--precision full]`` with the Python of an
environment that holds nnunet 1.7.1 (``thalbids setup dbsegment``). The plans are those of DBSegment's sort of network
(windows of 128 x 128 x 128 voxels, six levels of 32 to 320 channels, 32 classes, no mirroring), written with random
weights by nnU-Net's own trainer: weights change neither time nor memory. The image is X x Y x Z voxels around the
thalami of nilearn's MNI152 template at 1 mm (extra ``demo``), in 8 bits; without a size the whole brain. Each way runs
in a process of its own with one thread, its start included, one after the other.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from mindglide import THALAMI_MM, head, measured

from thalbids.image.io import load_image, load_labels, save_image
from thalbids.inference import dbsegment, nnunet

TRAINED = """
import os, sys
from collections import OrderedDict
from pathlib import Path
here = Path(sys.argv[1])
for name in ("nnUNet_raw_data_base", "nnUNet_preprocessed", "RESULTS_FOLDER"):
    os.environ[name] = str(here)
import numpy as np
import torch
from nnunet.training.network_training.nnUNetTrainerV2 import nnUNetTrainerV2
stage = OrderedDict(
    batch_size=2, num_pool_per_axis=[5] * 3, patch_size=np.array([128] * 3), current_spacing=np.ones(3),
    original_spacing=np.ones(3), do_dummy_2D_data_aug=False, pool_op_kernel_sizes=[[2] * 3] * 5,
    conv_kernel_sizes=[[3] * 3] * 6,
)
plans = OrderedDict(
    num_modalities=1, normalization_schemes=OrderedDict({0: "nonCT"}), num_classes=31, all_classes=list(range(1, 32)),
    dataset_properties=OrderedDict(intensityproperties=None, all_spacings=[np.float64(1)]), base_num_features=32,
    use_mask_for_norm=OrderedDict({0: False}), keep_only_largest_region=None, min_region_size_per_class=None,
    transpose_forward=[0, 1, 2], transpose_backward=[0, 1, 2], data_identifier="x",
    preprocessor_name="GenericPreprocessor", plans_per_stage=OrderedDict({0: stage}), conv_per_stage=2,
)
for fold in range(int(sys.argv[2])):
    folder = here / f"fold_{fold}"
    folder.mkdir()
    torch.manual_seed(fold)
    trainer = nnUNetTrainerV2("plans.pkl", fold, str(folder), str(folder), True, 0, True, False, True)
    trainer.output_folder, trainer.plans = str(folder), plans
    trainer.process_plans(plans)
    trainer.initialize_network()
    trainer.initialize_optimizer_and_scheduler()
    with torch.no_grad():
        for name, values in trainer.network.named_parameters():
            values.add_(torch.randn_like(values) * 0.1 if "instnorm" in name else 0)
            values.mul_(30 if name.startswith("seg_outputs") else 1)
    trainer.all_tr_losses = trainer.all_val_losses = trainer.all_val_eval_metrics = [np.float64(-0.5)] * 9
    trainer.best_MA_tr_loss_for_patience = np.float64(-0.5)
    trainer.save_checkpoint(str(folder / "model_final_checkpoint.model"))
"""
PREDICTED = """
import os, sys
for name in ("nnUNet_raw_data_base", "nnUNet_preprocessed", "RESULTS_FOLDER"):
    os.environ[name] = sys.argv[1]
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
import torch
from nnunet.inference.predict import predict_cases
torch.set_num_threads(1)
predict_cases(sys.argv[1], [[sys.argv[2]]], [sys.argv[3]], list(range(int(sys.argv[4]))), False, 1, 1, do_tta=False,
              mixed_precision=True, all_in_gpu=None, step_size=0.5)
"""


def own(folder: Path, image: Path, out: Path, near: bool, precision: str, folds: int) -> None:
    """One image by thalbids; prints the windows and the seconds of processor time for each and each fold."""
    net, scan = nnunet.Ensemble([folder / f"fold_{fold}" for fold in range(folds)], precision), load_image(image)
    spent: list[float] = []

    class Timed:
        plans = net.plans

        def __call__(self, window: np.ndarray) -> np.ndarray:
            began = time.process_time()
            probabilities = net(window)
            spent.append((time.process_time() - began) / folds)
            return probabilities

    box = None
    if near:
        middle = np.linalg.inv(scan.affine) @ [*np.mean(THALAMI_MM, axis=1), 1]
        sides = np.rint(middle[:3]).astype(int)[:, None] + [-dbsegment.REACH_MM, dbsegment.REACH_MM + 1]
        x, y, z = (slice(*np.clip(ends, 0, n).tolist()) for ends, n in zip(sides, scan.shape, strict=True))
        box = (x, y, z)
    save_image(nnunet.segment(np.asarray(scan.dataobj), Timed(), box), scan.affine, out)
    print(json.dumps({"windows": len(spent), "window_s": round(float(np.median(spent)), 2)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("python", type=Path)
    parser.add_argument("--size", type=int, nargs=3)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--precision", default="full", choices=("full", "fast"))
    parser.add_argument("--own", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.own:
        folder, image, out, near = options.own
        own(Path(folder), Path(image), Path(out), near == "near", options.precision, options.folds)
        return
    with tempfile.TemporaryDirectory() as name:
        folder, many = Path(name), str(options.folds)
        image = folder / "head_0000.nii.gz"
        subprocess.run([options.python, "-c", TRAINED, name, many], check=True, stdout=subprocess.DEVNULL)
        head(image, options.size)
        scan = load_image(image)
        data = np.asarray(scan.dataobj)
        save_image(np.rint(255 * data / data.max()).astype(np.uint8), scan.affine, image)
        us = [sys.executable, __file__, str(options.python), "--precision", options.precision, "--folds", many, "--own"]
        files = {which: folder / "out" / f"{which}.nii.gz" for which in ("near", "whole", "theirs")}
        calls = {which: [*us, name, str(image), str(files[which]), which] for which in ("near", "whole")}
        calls["theirs"] = [str(options.python), "-c", PREDICTED, name, str(image), str(files["theirs"]), many]
        files["near"].parent.mkdir()
        for which, call in calls.items():
            print(which, measured(call), flush=True)
        labels = {which: np.asarray(load_labels(path).dataobj) for which, path in files.items()}
        differ, part = labels["whole"] != labels["theirs"], labels["near"] > 0
        print(
            f"differ from nnU-Net: {np.count_nonzero(differ)} of {np.count_nonzero(data)} voxels, "
            f"{len(np.unique(labels['theirs']))} labels; near the thalami from the whole head: "
            f"{np.count_nonzero((labels['near'] != labels['whole'])[part])} of {np.count_nonzero(part)}"
        )


if __name__ == "__main__":
    main()
