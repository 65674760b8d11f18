"""Train one of SynThal's two networks on samples made on the fly.

Run: ``python -m training.train {roi,head} MAPS_DIR RUN_DIR --steps N [--cooldown M] [--resume]``

The learning rate rises, stays, and falls to zero over the last `--cooldown` steps. A run may be stopped at any time
(the file `RUN_DIR/last.pt` is never older than `--save-every` steps) and taken up with `--resume`, with another
`--steps` if need be: that is how a run is ended early, by giving `--steps` a number close by.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from training.generate import Map, head_sample, roi_pair
from training.maps import HEAD_CLASSES, ROI_CLASSES
from training.network import WIDTHS, UNet, load_exported

CLASSES = {"roi": ROI_CLASSES, "head": HEAD_CLASSES}
THALAMI = {"roi": (1, 2), "head": (4, 5)}
# of the thalami in the cross-entropy: a thousandth of the head's voxels would be ignored
WEIGHT = {"roi": 2.0, "head": 15.0}
EMA = 0.998


class Samples(torch.utils.data.IterableDataset):
    """An endless stream of samples; every worker has a random stream of its own."""

    def __init__(self, make: Callable, maps: list[Map], seed: int):
        self.make, self.maps, self.seed = make, maps, seed

    def __iter__(self):
        torch.set_num_threads(1)
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        while True:
            images, labels = self.make(rng, self.maps)
            yield torch.from_numpy(images)[:, None], torch.from_numpy(labels)


def cross_entropy(log_p: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Cross-entropy against four labels per voxel (n, 4, ...): the exact soft target of partial volume."""
    return -(log_p.gather(1, labels) * weight[labels]).mean()


def overlap_and_volume(p: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """1 - soft Dice and the relative volume error of classes: p and target (n, c, ...)."""
    dims = (2, 3, 4)
    sp, st = p.sum(dims), target.sum(dims)
    return 1 - (2 * (p * target).sum(dims) + 1) / (sp + st + 1), (sp / st.clamp(min=1.0) - 1).abs().clamp(max=1.0) * (
        st > 100
    )


def loss_of(
    logits: torch.Tensor, labels: torch.Tensor, kind: str, volume_weight: float, change_weight: float = 1.0
) -> tuple[torch.Tensor, dict]:
    """Training loss of n scans of one person: logits (n, classes, x, y, z), labels (n, 4, x, y, z)."""
    classes, thalami = CLASSES[kind], list(THALAMI[kind])
    log_p = torch.log_softmax(logits.float(), 1)
    weight = torch.ones(classes)
    weight[thalami] = WEIGHT[kind]
    labels = labels.long()
    entropy = cross_entropy(log_p, labels, weight)
    p = log_p.exp()
    target = torch.stack([(labels == c).float().mean(1) for c in range(classes)], 1)
    dice, _ = overlap_and_volume(p[:, 1:], target[:, 1:])
    dice_thalami, volume = overlap_and_volume(p[:, thalami], target[:, thalami])
    loss = entropy + dice_thalami.mean() + 0.3 * dice.mean() + volume_weight * volume.mean()
    if kind == "head":  # everything inside the skull as one: the brain mask
        skull, _ = overlap_and_volume(1 - p[:, :1], 1 - target[:, :1])
        loss = loss + 2 * skull.mean()
    parts = {"ce": entropy, "dice": dice_thalami.mean(), "vol": volume.mean()}
    if logits.shape[0] == 2:
        a, b = p[0, thalami], p[1, thalami]
        sums, true = ((q[:, thalami].sum((2, 3, 4)) + 50).log() for q in (p, target))
        ratio = ((sums[0] - sums[1]) - (true[0] - true[1])).abs().mean()
        loss = loss + change_weight * ratio
        same = torch.equal(labels[0], labels[1])
        if same:  # two contrasts of one visit must give one answer
            differ = (a - b).square().sum() / target[0, thalami].sum().clamp(min=1.0)
            loss = loss + 0.5 * differ
        parts["contrast" if same else "change"] = ratio
    return loss, {k: float(v.detach()) for k, v in parts.items()}


def rate(step: int, steps: int, cooldown: int, top: float) -> float:
    """Learning rate: linear rise over 100 steps, constant, linear fall to zero."""
    return top * min(1.0, (step + 1) / 100, max(0.0, (steps - step) / max(1, cooldown)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("roi", "head"))
    parser.add_argument("maps", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--cooldown", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--volume-weight", type=float, default=0.3)
    parser.add_argument("--change-weight", type=float, default=2.0, help="of the ratio of volumes of a pair")
    parser.add_argument("--from-weights", type=Path, help="begin with the weights of this .xml of an exported network")
    parser.add_argument("--hold-out", type=int, nargs="*", default=[], help="numbers of maps that are not trained on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--bfloat16", action="store_true", help="where the processor has it (AMX, AVX512-BF16)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.run.mkdir(parents=True, exist_ok=True)
    paths = [p for p in sorted(args.maps.glob("*.npz")) if int(p.stem.split("_")[-1]) not in args.hold_out]
    model = UNet(CLASSES[args.kind], WIDTHS[args.kind]).to(memory_format=torch.channels_last_3d)
    optimiser = torch.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=1e-4)
    start = 0
    if args.from_weights:
        load_exported(model, args.from_weights)
    average = copy.deepcopy(model)
    if args.resume:
        state = torch.load(args.run / "last.pt", weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average.load_state_dict(state["average"])
        start = state["step"]
    make = roi_pair if args.kind == "roi" else head_sample
    # a resumed run must not see the first run's samples again
    samples = Samples(make, [Map.load(p) for p in paths], args.seed + start)
    loader = torch.utils.data.DataLoader(samples, batch_size=None, num_workers=args.workers, prefetch_factor=4)
    log, began = (args.run / "log.jsonl").open("a"), time.time()
    print(f"{args.kind}: {sum(p.numel() for p in model.parameters())} parameters, {len(paths)} maps", flush=True)
    running: dict[str, float] = {}
    for step, (images, labels) in zip(range(start, args.steps), loader, strict=False):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, args.steps, args.cooldown, args.rate)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bfloat16):
            logits = model(images.contiguous(memory_format=torch.channels_last_3d))
        settled = step > 300 or args.from_weights is not None
        loss, parts = loss_of(logits, labels, args.kind, args.volume_weight * settled, args.change_weight * settled)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        decay = min(EMA, (step + 1) / (step + 10))
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)
        running = {k: 0.98 * running.get(k, v) + 0.02 * v for k, v in (parts | {"loss": float(loss.detach())}).items()}
        if (step + 1) % 50 == 0:
            row = {"step": step + 1, "seconds": round(time.time() - began)} | {
                k: round(v, 4) for k, v in running.items()
            }
            print(json.dumps(row), file=log, flush=True)
        if (step + 1) % args.save_every == 0 or step + 1 == args.steps:
            state = {
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "average": average.state_dict(),
                "step": step + 1,
            }
            torch.save(state, args.run / "last.tmp")
            (args.run / "last.tmp").replace(args.run / "last.pt")


if __name__ == "__main__":
    main()
