"""The project's head phantom as every kind of raw quantitative image but multi-parameter mapping, in BIDS files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.files import write_json
from thalbids.image.io import save_image
from thalbids.qmri import phantom
from thalbids.qmri.models.flash import ernst
from thalbids.qmri.models.mp2rage import Mp2rage, simulate, unified

MP2RAGE_PROTOCOL = Mp2rage(5.0, (0.0071, 0.0083), (0.7, 2.5), (4.0, 5.0), (64, 112))
INVERSION_TIMES = (0.1, 0.4, 0.9, 1.8, 3.2)
NOISE = 0.05  # where the proton density is in percent; white matter of VFA is near 2


class Writer:
    """Writes images of one subject: the head lies as ``still`` on the grid of ``affine``."""

    def __init__(self, folder: Path, stem: str, still: phantom.Properties, affine: np.ndarray, seed: int) -> None:
        self.folder, self.stem, self.still, self.affine = folder, stem, still, affine
        self.rng = np.random.default_rng(seed)
        self.field = phantom.transmit_field(still.r1.shape, affine)
        self.r1 = np.maximum(still.r1, 1e-3)  # air has no signal, by its density

    def save(
        self, name: str, data: np.ndarray, sidecar: Mapping[str, Any] | None = None, datatype: str = "anat"
    ) -> None:
        """One image and its sidecar."""
        path = self.folder / datatype / f"{self.stem}_{name}.nii.gz"
        save_image(np.asarray(data, dtype=np.float32), self.affine, path)
        if sidecar is not None:
            write_json(path.with_name(path.name.replace(".nii.gz", ".json")), {"MagneticFieldStrength": 3, **sidecar})

    def noisy(self, signal: np.ndarray) -> np.ndarray:
        """A complex signal with noise in both parts."""
        noise = self.rng.standard_normal((2, *signal.shape)) * NOISE
        return signal + noise[0] + 1j * noise[1]

    def transmit(self) -> None:
        """The B1+ map, in percent."""
        self.save("TB1map", 100 * self.field, {"Units": "percent"}, "fmap")

    def vfa(self) -> None:
        """Three flip angles, and B1+."""
        for flip, angle in enumerate((4, 10, 25), start=1):
            signal = ernst(self.still.density, self.r1, np.deg2rad(angle) * self.field, 0.018)
            sidecar = {"FlipAngle": angle, "RepetitionTimeExcitation": 0.018, "EchoTime": 0.0025}
            self.save(f"flip-{flip}_VFA", 100 * np.abs(self.noisy(signal)), sidecar)
        self.transmit()

    def mts(self) -> None:
        """Two flip angles and an MT pulse, one echo each, and B1+."""
        for flip, mt, angle in ((1, "off", 6), (2, "off", 21), (1, "on", 6)):
            saturation = self.still.saturation * self.field**2 if mt == "on" else 0.0
            signal = ernst(self.still.density, self.r1, np.deg2rad(angle) * self.field, 0.028, saturation)
            sidecar = {"FlipAngle": angle, "RepetitionTimeExcitation": 0.028, "EchoTime": 0.0025, "MTState": mt == "on"}
            self.save(f"flip-{flip}_mt-{mt}_MTS", 100 * np.abs(self.noisy(signal)), sidecar)
        self.transmit()

    def _blocks(self) -> tuple[np.ndarray, np.ndarray]:
        """Signals of both inversions, without noise, at the field of every voxel (in steps of 0.02)."""
        first, second = (np.zeros(self.r1.shape) for _ in range(2))
        steps = np.round(self.field / 0.02) * 0.02
        for value in np.unique(steps):
            there = steps == value
            signals = simulate(MP2RAGE_PROTOCOL, 1 / self.r1[there], float(value))
            first[there], second[there] = (self.still.density[there] * s for s in signals)
        return first, second

    def mp2rage(self, parts: str) -> None:
        """Both inversions in ``polar`` (magnitude and phase) or ``cartesian`` (real, imaginary) parts, and B1+."""
        protocol = MP2RAGE_PROTOCOL
        for k, signal in enumerate(self._blocks()):
            measured = 100 * self.noisy(signal) * np.exp(0.7j)
            named = (
                {"mag": np.abs(measured), "phase": np.angle(measured)}
                if parts == "polar"
                else {"real": measured.real, "imag": measured.imag}
            )
            for part, data in named.items():
                self.save(f"inv-{k + 1}_part-{part}_MP2RAGE", data, {
                    "InversionTime": protocol.inversion_times[k], "FlipAngle": protocol.flip_angles[k],
                    "RepetitionTimePreparation": protocol.repetition_time, "NumberShots": list(protocol.shots),
                    "RepetitionTimeExcitation": list(protocol.excitation_times),
                    **({"Units": "rad"} if part == "phase" else {}),
                })  # fmt: skip
        self.transmit()

    def unit1(self) -> None:
        """The scanner's combined image, 0 to 4095, and B1+."""
        protocol = MP2RAGE_PROTOCOL
        first, second = (self.noisy(signal) for signal in self._blocks())
        stored = np.rint(4095 * (np.nan_to_num(unified(first, second)) + 0.5))
        self.save("UNIT1", stored, {
            "InversionTime": list(protocol.inversion_times), "FlipAngle": list(protocol.flip_angles),
            "RepetitionTimePreparation": protocol.repetition_time, "NumberShots": list(protocol.shots),
            "RepetitionTimeExcitation": list(protocol.excitation_times),
        })  # fmt: skip
        self.transmit()

    def irt1(self) -> None:
        """Magnitudes at five inversion times."""
        for k, time in enumerate(INVERSION_TIMES, start=1):
            signal = self.still.density / 10 * (1 - 1.92 * np.exp(-time * self.r1))
            self.save(f"inv-{k}_IRT1", 100 * np.abs(self.noisy(signal)), {"InversionTime": time})


KINDS: Mapping[str, Callable[[Writer], None]] = {
    "VFA": Writer.vfa,
    "MTS": Writer.mts,
    "MP2RAGE": lambda writer: writer.mp2rage("polar"),
    "MP2RAGEparts": lambda writer: writer.mp2rage("cartesian"),
    "UNIT1": Writer.unit1,
    "IRT1": Writer.irt1,
}


def write_person(root: Path, kind: str, affine: np.ndarray, shape: tuple[int, int, int], moved: np.ndarray) -> None:
    """A T1w, the raw images of a kind with the head moved (4, 4, RAS+ mm), and masks in ``root/given``.

    The subject is named as the kind.
    """
    labels = phantom.head(shape, affine)
    still = phantom.properties_of(labels)
    stem = f"sub-{kind}"
    folder = root / "raw" / stem
    rng = np.random.default_rng(1)
    t1w = 1000 * still.density / 80 * np.minimum(still.r1, 1.2) + 8 * rng.standard_normal(shape)
    save_image(np.maximum(t1w, 0).astype(np.float32), affine, folder / "anat" / f"{stem}_T1w.nii.gz")
    KINDS[kind](Writer(folder, stem, phantom.moved(still, affine, moved), affine, seed=2))
    thalamus = labels == phantom.LABELS.index("thalamus")
    brain = labels > phantom.LABELS.index("scalp")
    for name, mask in (("label-thalamus_desc-first", thalamus), ("desc-brain", brain)):
        save_image(mask.astype(np.uint8), affine, root / "given" / stem / "anat" / f"{stem}_{name}_mask.nii.gz")
