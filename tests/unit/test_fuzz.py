"""Thousands of damaged images and tables, seeded: an error that says what to do, or a right answer; never a bug.

What is held: no exception but ours, nothing takes long, memory stays bounded, and a file that was damaged outside its
geometry is refused, told of in a note, or gives the same voxels as before.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import world_image
from tests.unit.bids.tabular.test_given_tables import PBVC
from tests.unit.qc.test_contradictions import AFFINE, GOOD
from tests.unit.qc.test_contradictions import session as session_of
from thalbids import qc
from thalbids.bids.dataset.acquisition_facts import facts
from thalbids.bids.dataset.ignored import Ignored
from thalbids.bids.dataset.inputs import find_sessions
from thalbids.bids.results.derivatives import (
    MAX_MM3,
    MIN_MM3,
    find_places,
    read_documents,
    read_icv,
    read_pbvc,
    read_volumes,
)
from thalbids.bids.tabular.clinical import read_clinical, visits
from thalbids.bids.tabular.given_tables import ICV_RANGE
from thalbids.bids.tabular.given_tables import read_icv as read_given_icv
from thalbids.bids.tabular.near_labels import alike
from thalbids.bids.tabular.pbvc import read_given
from thalbids.bids.tabular.values import RANGES
from thalbids.errors import ThalbidsError, printable
from thalbids.group.intake.trust import distrusted
from thalbids.image.io import MIN_VOXELS, load_image, load_labels
from thalbids.image.orientation import MAX_ZOOM_MM, MIN_ZOOM_MM
from thalbids.participant import all_sessions
from thalbids.qc.visits import distrusted_masks, pair_remarks
from thalbids.raters.rating_page import _trusted
from thalbids.reports import boilerplate_facts
from thalbids.reports.participant import sessions_page
from thalbids.settings import Clinical

SEED = 20261129
SLOWEST_S = 5.0  # for one file of a few kB, on a busy machine
MEMORY_KB = 600_000  # that all of it may add to the process
ODD = ["", "n/a", "NaN", "inf", "-0", "1e400", "1" * 5000, "=1+1", "\x00", "\u202e", "é", "0,5", "5%", "89+", "35-40",
       "../../x", "2020-02-30", "\ud800", "true", "[]", "-1", "1.5", "sub-01", "ses-1"]  # fmt: skip


@pytest.fixture(autouse=True)
def bounded() -> object:
    """Memory of the process before and after."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY_KB


def seeded() -> random.Random:
    """The same numbers in every run."""
    return random.Random(SEED)  # noqa: S311


def timed(call: Callable[[], object], what: object) -> object:
    """What a call gives, None for an error of ours; anything else, and slowness, fails with what was read."""
    start = time.monotonic()
    try:
        return call()
    except ThalbidsError as error:
        assert str(error)
        return None
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error} on {what!r}"[:2000])
    finally:
        assert time.monotonic() - start < SLOWEST_S, what


def flipped(rng: random.Random, raw: bytes, where: range, times: int) -> bytes:
    damaged = bytearray(raw)
    for _ in range(times):
        damaged[rng.choice(where)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(damaged)


def with_field(rng: random.Random, raw: bytes) -> bytes:
    """A header with an odd number in one of its fields."""
    at, kind = rng.choice([(40, "<h"), (42, "<h"), (44, "<h"), (48, "<h"), (70, "<h"), (72, "<h"), (108, "<f"),
                           (112, "<f"), (116, "<f"), (80, "<f"), (84, "<f"), (252, "<h"), (254, "<h"),
                           (280, "<f")])  # fmt: skip
    value = rng.choice([0, 1, -1, 3, 7, 255, 32767, -32768, 2, 512])
    odd = rng.choice([float("nan"), float("inf"), -1e30, 1e-30, 1e30, 0.0, -0.0, float(value)])
    return raw[:at] + struct.pack(kind, value if kind == "<h" else odd) + raw[at + struct.calcsize(kind) :]


def structural(rng: random.Random, raw: bytes) -> tuple[bytes, str]:
    """A whole image in a file that is cut, longer, in members, or followed by rubbish: its voxels cannot change."""
    zipped = gzip.compress(raw, rng.randrange(1, 9), mtime=0)
    cut = rng.randrange(len(zipped))
    at = rng.randrange(1, len(raw))
    return rng.choice([
        (zipped[:cut], "cut"), (zipped + rng.randbytes(rng.randrange(1, 50)), "rubbish"), (zipped + bytes(99), "zeros"),
        (gzip.compress(raw[:at]) + gzip.compress(raw[at:]), "members"), (raw + rng.randbytes(9), "plain, longer"),
        (raw[: rng.randrange(len(raw))], "plain, cut"), (gzip.compress(raw + rng.randbytes(999)), "more data"),
        (gzip.compress(b"", mtime=0) * 50 + zipped, "empty members"), (zipped[:-8] + bytes(8), "checksum"),
        (flipped(rng, zipped, range(len(zipped)), 1), "flip"), (raw[:108] + bytes(4) + raw[112:], "vox_offset"),
    ])  # fmt: skip


def test_images(tmp_path: Path) -> None:
    rng, path = seeded(), tmp_path / "x.nii.gz"
    images = [world_image(kind) for kind in ("RAS", "LPS", "oblique", "anisotropic")]
    ended: Counter[str] = Counter()
    for _ in range(2000):
        image = rng.choice(images)
        raw, same = image.to_bytes(), False
        if rng.random() < 0.5:
            content, _ = structural(rng, raw)
            same = True
        elif rng.random() < 0.5:
            content = with_field(rng, raw)
        else:
            content = flipped(rng, raw, range(352), rng.randrange(1, 6))
        path.write_bytes(content)
        found = timed(lambda: load_image(path), content[:400])
        timed(lambda: load_labels(path), content[:400])
        ended["refused" if found is None else "read"] += 1
        if found is None:
            continue
        data = np.asarray(found.dataobj)
        assert np.isfinite(data).all() and min(data.shape) >= MIN_VOXELS and data.dtype == np.float32
        sizes = np.linalg.norm(found.affine[:3, :3], axis=0)
        assert ((sizes >= MIN_ZOOM_MM) & (sizes <= MAX_ZOOM_MM)).all() and np.isfinite(found.affine).all()
        if same:
            np.testing.assert_array_equal(data, image.get_fdata())
            assert np.allclose(found.affine, image.affine, atol=1e-3)
    assert min(ended.values()) > 400, ended  # both happen, or nothing was tried


def test_names(tmp_path: Path) -> None:
    rng = seeded()
    letters = ["sub-", "ses-", "01", "_", "-", "T1w", ".nii.gz", "anat", "é", "\x1b", "\u202e", " ", "ce-gd", "+", "\n"]
    anat = tmp_path / "sub-01" / "anat"
    anat.mkdir(parents=True)
    (anat / "sub-01_T1w.nii.gz").touch()
    for _ in range(300):
        name = "".join(rng.choice(letters) for _ in range(rng.randrange(1, 9)))
        folder = rng.choice([tmp_path, tmp_path / "sub-01", anat])
        if not (folder / name).exists():
            (folder / name).mkdir() if rng.random() < 0.5 else (folder / name).touch()
        alike(name)
        timed(lambda: Ignored.of(name + "**/*" * rng.randrange(3)).names(name), name)  # noqa: B023
        assert not set(printable(name)) & set("\x1b\u202e")
    found = find_sessions(tmp_path)  # not timed: it loads pybids
    assert "sub-01" in {session.name for session in found}


def table(rng: random.Random, columns: list[str], good: list[list[str]]) -> bytes:
    """A table with some cells, columns, line ends or bytes that are wrong."""
    rows = [list(columns), *(list(row) for row in good)]
    for _ in range(rng.randrange(4)):
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = rng.choice(ODD)
    if rng.random() < 0.1:
        rng.choice(rows).append("more")
    if rng.random() < 0.1:
        rows.append(rng.choice(rows))
    text = rng.choice(["\n", "\r\n", "\r", "\n\n"]).join("\t".join(row) for row in rows)
    raw = text.encode("utf-8", "surrogatepass")
    return flipped(rng, raw, range(len(raw)), 1) if rng.random() < 0.1 else raw


def test_clinical_tables(tmp_path: Path) -> None:
    rng = seeded()
    columns = ["participant_id", "age", "sex", "edss", "t25fw_1", "disease_duration", "acq_time"]
    good = [[f"sub-0{n}", "40", "F", "2.5", "5.1", "8", "2020-01-01"] for n in range(1, 4)]
    path, about = tmp_path / "participants.tsv", tmp_path / "participants.json"
    bounds = {name: RANGES[name] for name in ("age", "edss", "disease_duration")}
    read = 0
    for _ in range(1500):
        path.write_bytes(table(rng, columns, good))
        level = {rng.choice(ODD): rng.choice(ODD)}
        entry = rng.choice(
            [{}, [], None, 3, {"Units": rng.choice(ODD)}, {"Levels": level}, {"Levels": rng.choice(ODD)}]
        )
        about.write_text(rng.choice(["{", "[]", json.dumps({rng.choice(columns): entry}), "{}"]))
        settings = Clinical(violations=rng.choice(["error", "missing"]), decimal_comma=rng.random() < 0.5)
        data = timed(lambda: read_clinical(tmp_path, settings), path.read_bytes())  # noqa: B023
        if data is None:
            continue
        read += 1
        for row in visits(data, {"sub-01": [""]}).rows:  # type: ignore[arg-type]
            for name, (low, high, _) in bounds.items():
                assert row[name] is None or low <= row[name] <= high
            assert row["sex"] in ("", "F", "M", "O")
    assert 300 < read < 1350


def test_given_tables(tmp_path: Path) -> None:
    rng, path = seeded(), tmp_path / "x.tsv"
    icv = [["sub-01", "ses-1", "1400000"], ["sub-01", "ses-2", "1410000"]]
    pbvc = [["sub-01", "ses-1", "ses-2", "-0.5"], ["sub-02", "ses-1", "ses-2", "0.1"]]
    for _ in range(1000):
        path.write_bytes(table(rng, ["participant_id", "session_id", "icv_mm3"], icv))
        found = timed(lambda: read_given_icv(path), path.read_bytes())
        assert all(ICV_RANGE[0] <= value <= ICV_RANGE[1] for value in (found or {}).values())  # type: ignore[attr-defined]
        path.write_bytes(table(rng, PBVC.split("\t"), pbvc))
        pairs = timed(lambda: read_given(path), path.read_bytes())
        used = [given.pbvc for given in (pairs or {}).values() if given.status == "ok"]  # type: ignore[attr-defined]
        assert all(abs(value) <= 10 for value in used)


def test_our_own_results(tmp_path: Path) -> None:
    rng = seeded()
    anat = tmp_path / "sub-01" / "ses-1" / "anat"
    anat.mkdir(parents=True)
    columns = ["method", "image", "volume_mm3", "volume_left_mm3", "volume_right_mm3", "status", "reason"]
    good = [
        ["first", "T1w", "15000", "7600", "7400", "ok", "n/a"],
        ["dbsegment", "T1w", "n/a", "n/a", "n/a", "failed", "x"],
    ]
    for _ in range(1000):
        (anat / "sub-01_ses-1_desc-thalamus_morph.tsv").write_bytes(table(rng, columns, good))
        icv = table(rng, ["source", "icv_mm3"], [["synthal", "1400000"]])
        (anat / "sub-01_ses-1_desc-icv_morph.tsv").write_bytes(icv)
        records = ["{", "[1]", "null", '{"Masks": 3}', '{"Masks": {}, "Flags": []}', '{"Provenance": {"Outputs": [1]}}']
        (anat / "sub-01_ses-1_desc-thalamus_qc.json").write_text(rng.choice(records))
        places = find_places(tmp_path)
        read = timed(lambda: read_volumes(places), "volumes")  # noqa: B023
        rows = read.rows  # type: ignore[attr-defined]
        assert all(MIN_MM3 <= 1000 * row["volume_ml"] <= MAX_MM3 * (1 + 1e-9) for row in rows if row["status"] == "ok")
        timed(lambda: (read_icv(places), read_pbvc(tmp_path), distrusted(tmp_path, places, rows)), "records")  # noqa: B023


def other_kind(rng: random.Random, value: object, depth: int = 0) -> object:
    """The same JSON with one part, somewhere in it, of another kind, gone, or damaged."""
    inside = isinstance(value, (dict, list)) and value
    if not inside or rng.random() < 0.15 + 0.05 * depth:
        return rng.choice([None, 3, -1.5, "x", "", [], {}, [1], [None], {"a": 1}, True, 10**400, "\ud800", [[]]])
    if isinstance(value, dict):
        key = rng.choice(list(value))
        if rng.random() < 0.2:
            return {name: part for name, part in value.items() if name != key}
        return value | {key: other_kind(rng, value[key], depth + 1)}
    assert isinstance(value, list)
    at = rng.randrange(len(value))
    return [*value[:at], other_kind(rng, value[at], depth + 1), *value[at + 1 :]]


def as_text(rng: random.Random, content: object) -> bytes:
    """JSON, or what a full disk or an editor leaves of it."""
    raw = json.dumps(content).encode("utf-8", "surrogatepass")
    return rng.choice([raw, raw, raw, raw[: rng.randrange(len(raw))], flipped(rng, raw, range(len(raw)), 1), b""])


def test_quality_control_documents(tmp_path: Path) -> None:
    """Every reader of all documents of a folder goes on, and a sound one beside is read as before."""
    rng = seeded()
    attempt = {"strategy": "ants", "interpolation": "linear", "metric": "mi", "mi": 0.4, "cutoff": 0.3, "passed": True}
    register = {"image": "FLAIR", "chosen": "ants", "reason": "x", "excluded": False, "attempts": [attempt]}
    parts = {"icv": [{"source": "synthal", "icv_mm3": 1.4e6}], "registrations": [register]}
    documents = [qc.build(subject=label, session=None, affine=AFFINE, masks=session_of(GOOD), **parts)
                 for label in ("01", "02")]  # fmt: skip
    for person in ("sub-01", "sub-02"):
        (tmp_path / person / "anat").mkdir(parents=True)
    paths = [tmp_path / person / "anat" / f"{person}_desc-thalamus_qc.json" for person in ("sub-01", "sub-02")]
    for path, document in zip(paths, documents, strict=True):
        path.write_text(json.dumps(document))
    (place, _), read = find_places(tmp_path), 0
    row = {"participant_id": "sub-01", "session_id": "", "method": "first", "status": "ok"}
    for _ in range(100):
        paths[0].write_bytes(as_text(rng, other_kind(rng, documents[0])))
        shown = paths[0].read_bytes()
        found = timed(lambda: read_documents(find_places(tmp_path)), shown)
        assert found["sub-02", ""] == json.loads(paths[1].read_text())  # type: ignore[index]
        read += len(found) - 1  # type: ignore[arg-type]
        every = list(found.values())  # type: ignore[attr-defined]
        timed(lambda: [pair_remarks(every[0], one) + list(distrusted_masks(one)) for one in every], shown)  # noqa: B023
        text = timed(lambda: sessions_page.page(all_sessions.entries(tmp_path)), shown)
        assert "sub-02" in str(text)
        assert timed(lambda: boilerplate_facts.participant(tmp_path), shown) is not None
        timed(lambda: (_trusted(place), distrusted(tmp_path, [place], [row])), shown)
    assert 15 < read < 85


def test_sidecars(tmp_path: Path) -> None:
    """Metadata of wrong kinds: the session is found, or fails with words; the other one is untouched."""
    rng = seeded()
    told = {"Units": "s", "SkullStripped": False, "MRAcquisitionType": "3D", "MagneticFieldStrength": 3, "EchoTime":
            [0.002, 0.004], "SliceThickness": 1.0, "Manufacturer": "x", "ContrastBolusIngredient": ["GADOLINIUM"],
            "InversionTime": 0.9, "RepetitionTimeExcitation": 0.007, "FlipAngle": [4, 5]}  # fmt: skip
    for person in ("sub-01", "sub-02"):
        (tmp_path / person / "anat").mkdir(parents=True)
        for suffix in ("T1w", "FLAIR", "R1map", "UNIT1"):
            (tmp_path / person / "anat" / f"{person}_{suffix}.nii.gz").touch()
    places = ["T1w.json", "sub-01/sub-01_FLAIR.json", "sub-01/anat/sub-01_T1w.json", "sub-01/anat/sub-01_R1map.json",
              "sub-01/anat/sub-01_UNIT1.json"]  # fmt: skip
    ended: Counter[str] = Counter()
    for _ in range(200):
        path = tmp_path / rng.choice(places[1:])
        path.write_bytes(as_text(rng, other_kind(rng, told)))
        sessions = {one.subject: one for one in find_sessions(tmp_path)}
        assert sessions["02"].problem is None
        ended[str(sessions["01"].problem is None)] += 1
        for image in sessions["01"].images.values():
            timed(lambda: facts(image), path.read_bytes())  # noqa: B023
        path.unlink()
    assert min(ended.values()) > 5, ended


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_through_the_command_line(tmp_path: Path) -> None:
    """Dozens of datasets and results through the program itself: no traceback, an exit code of the documented ones."""
    rng = seeded()
    raw = world_image().to_bytes()
    columns = ["participant_id", "age", "sex", "diagnosis"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for number in range(24):
        root, out = tmp_path / f"raw{number}", tmp_path / f"out{number}"
        for person in ("sub-01", "sub-02"):
            image = root / person / "anat" / f"{person}_T1w.nii.gz"
            image.parent.mkdir(parents=True)
            image.write_bytes(structural(rng, raw)[0])
            image.with_suffix("").with_suffix(".json").write_text(rng.choice(["{", "{}", '{"Units": 3}', "[]"]))
            results = out / person / "anat" / f"{person}_desc-thalamus_morph.tsv"
            results.parent.mkdir(parents=True)
            results.write_bytes(table(rng, ["method", "volume_mm3"], [["first", "15000"]]))
        (root / "participants.tsv").write_bytes(
            table(rng, columns, [["sub-01", "40", "F", "HC"], ["sub-02", "50", "M", "MS"]])
        )
        level = ["participant", "--dry-run"] if number % 2 else ["group", "--dry-run"]
        command = [sys.executable, "-m", "thalbids", str(root), str(out), *level]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
        shown = ended.stdout + ended.stderr
        assert ended.returncode in (0, 1, 2, 66, 69), shown
        assert "Traceback" not in shown and "this is a bug" not in shown and "\x1b" not in shown
