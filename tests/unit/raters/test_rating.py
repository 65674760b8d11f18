"""The page for raters tells nothing, the key everything; what raters failed changes the steps of a run."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.rated import METHODS, REGISTERED, write_derivatives, write_ratings
from tests.unit.registration.test_gate import FLAIR, MASK, T1W, Fixed
from thalbids import qc
from thalbids.cli.main import main
from thalbids.errors import MetadataError, NoInputError
from thalbids.image.digest import digest
from thalbids.image.io import save_image
from thalbids.participant.session import PlannedMask
from thalbids.participant.stages.session.measures import volume_rows
from thalbids.raters import effect, rating_page
from thalbids.raters.ratings import Item, fingerprint, read_key, write_key
from thalbids.registration import gate
from thalbids.settings import Ratings


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_derivatives(tmp_path_factory.mktemp("rating"), [("Zoe9", "before"), ("02", "")])


@pytest.fixture(scope="module")
def made(out: Path) -> rating_page.Made:
    return rating_page.write(out, out.parent / "page.html", seed=7)


def test_the_page_tells_nothing_of_who_and_how(made: rating_page.Made):
    source = made.page.read_text("utf-8")
    told = re.sub(r"base64,[A-Za-z0-9+/=]+", "", source)
    pictures = "".join(re.findall(r'id="i[0-9a-f]{8}">(.*?)</script>', told))
    names = [*METHODS, *REGISTERED, *REGISTERED.values(), "synthal", "SynThal", "T1w", "ensemble", "mutual", "0.731"]
    labels = ["Zoe9", "sub-", "ses-", "before", ".nii", "anat", str(made.page.parent), "x =", "mm"]
    assert [word for word in names + labels if word in pictures] == []
    part_of_words = ("before", "mm", "x =")  # of the page's own text and script
    assert [word for word in names + labels if word in told and word not in part_of_words] == []
    assert set(re.findall(r"stroke[^;]*#[0-9a-fA-F]{6}", told)) == set()


def test_nothing_of_the_key_is_in_the_page(made: rating_page.Made):
    source = made.page.read_text("utf-8")
    for entry in json.loads(made.key.read_text())["Items"].values():
        assert entry["Sha256"] not in source
        assert entry["FileSha256"] not in source
        assert entry["File"] not in source
    about = json.loads(re.search(r'id="about">(.*?)</script>', source)[1])
    assert all(re.fullmatch("[0-9a-f]{8}", name) for name, _ in about["items"])
    assert {kind for _, kind in about["items"]} == {"registration", "mask"}


def test_the_page_asks_nothing_of_a_network_and_is_small(made: rating_page.Made):
    source = made.page.read_text("utf-8")
    assert "default-src 'none'" in source
    assert re.findall(r"(?:src|href)='(?!data:)", source) == []
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", source) == []
    sizes = [len(text) for text in re.findall(r'id="i[0-9a-f]{8}">(.*?)</script>', source)]
    assert len(sizes) == made.items == 13
    assert max(sizes) < 60_000


def test_the_brain_fills_the_picture_of_a_registration(made: rating_page.Made):
    """The brain is 156 mm long, the scan 216 mm: columns are as wide as the brain and its margins."""
    source = made.page.read_text("utf-8")
    widths = {int(w) for w in re.findall(r"viewBox='0 0 (\d+) \d+'", source)}
    assert widths == {2 * 4 + 3 * 160, 2 * 4 + 3 * (40 * 4 + 2 * 8)}  # masks: 80 mm at 0.5; 40 voxels and 2 x 8 mm


def test_the_key_tells_everything(made: rating_page.Made, out: Path):
    page = json.loads(made.key.read_text())["Page"]
    items = list(read_key(out, page).values())
    once = [item for item in items if not item.repeats]
    assert {(i.participant_id, i.session_id, i.kind, i.target, i.strategy) for i in once} == {
        (person, session, *what)
        for person, session in (("sub-Zoe9", "ses-before"), ("sub-02", ""))
        for what in [*(("mask", m, "") for m in METHODS), *(("registration", *pair) for pair in REGISTERED.items())]
    }
    assert all(item.sha256 == fingerprint(out / item.file, item.kind) for item in items)
    (again,) = [item for item in items if item.repeats]
    (first,) = [item for item in items if item.identifier == again.repeats]
    assert replace(again, identifier=first.identifier, repeats="") == first
    order = re.findall(r'id="i([0-9a-f]{8})"', made.page.read_text("utf-8"))
    assert order.index(again.identifier) - order.index(first.identifier) > 4
    assert [item.identifier for item in items] != order  # the key is sorted by name: no order to guess from
    assert made.repeats == 1


def test_the_seed_gives_the_order(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rating_page.form, "registration_picture", lambda *_: "<svg/>")  # drawing takes its time
    only = {"what": ["registrations"], "subjects": ["02"], "repeats": 0.0}

    def shown(seed: int | None) -> tuple[str, list[str]]:
        one = rating_page.write(out, tmp_path / "p.html", seed=seed, **only)
        text = one.page.read_text("utf-8")
        one.key.unlink()
        return one.key.name, re.findall(r'id="i([0-9a-f]{8})"', text)

    assert shown(1) == shown(1)
    assert shown(1) != shown(2)
    assert shown(None) != shown(None)


@pytest.mark.parametrize("number", [5, 10, 47, 500])
def test_repeats_come_later_and_once(number: int):
    for seed in range(20):
        shown = rating_page.with_repeats([(i, "") for i in range(number)], 0.05, random.Random(seed))  # noqa: S311
        repeats = [i for i, what in shown if what]
        assert len(repeats) == len(set(repeats)) == -(-number // 20)
        first = {}
        for place, (i, what) in enumerate(shown):
            if what:
                assert place - first[i] > min(10, number // 3) - 1
            else:
                first[i] = place
        assert sorted(first) == list(range(number))


def test_few_items_are_not_repeated():
    four = [(i, "") for i in range(4)]
    assert rating_page.with_repeats(four, 0.5, random.Random(1)) == four  # noqa: S311


def test_the_command_writes_a_sample_and_says_so(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    page = tmp_path / "few.html"
    words = ["rate", str(out), "-o", str(page), "--what", "masks", "--participant-label", "sub-02", "--sample", "2"]
    assert main([*words, "--seed", "3"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 items, 0 of them a second time")
    assert "do not give it to raters" in said
    assert len(re.findall(r'id="i[0-9a-f]{8}"', page.read_text("utf-8"))) == 2
    assert main(["rate", str(out), "--sample", "0"]) == 2
    assert main(["rate", str(tmp_path)]) == 66
    assert main(["rate", str(tmp_path / "nowhere")]) == 66


def test_a_damaged_image_leaves_the_rest(tmp_path: Path):
    out = write_derivatives(tmp_path, [("01", "")])
    next(out.glob("**/*_FLAIR.nii.gz")).write_bytes(b"damaged")
    made = rating_page.write(out, tmp_path / "p.html", what=["registrations"])
    assert made.items == 1
    assert len(made.problems) == 1
    assert "FLAIR.nii.gz is not in the page" in made.problems[0]


def test_import_says_what_the_raters_say(out: Path, tmp_path: Path, made, capsys: pytest.CaptureFixture[str]):
    page = json.loads(made.key.read_text())["Page"]
    (hit,) = [i for i in read_key(out, page).values() if (i.target, i.participant_id) == ("dbsegment", "sub-02")
              and not i.repeats]  # fmt: skip
    table = write_ratings(tmp_path / "a.tsv", [{"page": page, "item": hit.identifier, "rating": "fail"}])
    assert main(["rate", str(out), "--import", str(table)]) == 0
    assert "sub-02: mask dbsegment: failed by rater AB" in capsys.readouterr().out
    assert "dbsegment" in (out / "group_ratings.tsv").read_text()
    config = tmp_path / "c.toml"
    config.write_text(f'[ratings]\nfiles = ["{table}"]\n')
    assert main(["rate", str(out), "--config", str(config), "-o", str(tmp_path / "p.html"), "--sample", "1"]) == 0
    assert (tmp_path / "p.html").is_file()  # a page, not the import
    table.write_text("x\n")
    assert main(["rate", str(out), "--import", str(table)]) == 1
    assert "no column page" in capsys.readouterr().err


# what a rating changes in a run

NEAR, FAR = Fixed("near", shift=(0, 0, 0)), Fixed("far", "h", shift=(0, 0, 0), interpolation="spline")


def entry(strategy: Fixed, image: nib.Nifti1Image) -> dict[str, str]:
    sha = digest(np.asarray(image.dataobj), T1W.affine, np.float32)
    return {"Strategy": strategy.name, "Sha256": sha, "Reason": "failed by rater AB (shifted)"}


def test_a_failed_registration_gives_way_to_the_next_strategy_and_then_to_none():
    first = gate.register(FLAIR, T1W, MASK, [NEAR, FAR])
    assert first.chosen == "near"
    seen = effect.Registrations([entry(NEAR, first.image)], T1W.affine)
    second = gate.register(FLAIR, T1W, MASK, [NEAR, FAR], review=seen.review)
    assert second.chosen == "far"
    assert second.attempts[0].reason == "failed by rater AB (shifted)"
    assert not second.attempts[0].passed
    assert second.attempts[0].mi == first.attempts[0].mi
    assert (len(seen.applied), seen.stale()) == (1, [])
    seen = effect.Registrations([entry(NEAR, first.image), entry(FAR, second.image)], T1W.affine)
    third = gate.register(FLAIR, T1W, MASK, [NEAR, FAR], review=seen.review)
    assert third.chosen is None
    assert third.reason == "near: failed by rater AB (shifted). far: failed by rater AB (shifted)"


def test_a_rating_of_another_image_is_not_applied():
    changed = nib.Nifti1Image(np.asarray(FLAIR.dataobj) * np.float32(1.001), np.eye(4))
    first = gate.register(FLAIR, T1W, MASK, [NEAR])
    seen = effect.Registrations([entry(NEAR, first.image)], T1W.affine)
    assert gate.register(changed, T1W, MASK, [NEAR], review=seen.review).chosen == "near"
    assert seen.applied == []
    assert seen.stale() == ["not applied, as this result of near did not come out again: failed by rater AB (shifted)"]


def thalami() -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[9:13, 12:18, 12:17], labels[17:21, 12:18, 12:17] = 10, 49
    return labels, np.diag([3.0, 3.0, 3.0, 1.0])


def test_a_failed_mask_is_excluded_with_its_ensembles_and_keeps_its_numbers():
    labels, affine = thalami()
    masks = {
        "synthalT1w": qc.MaskInput(labels, "synthal", ("T1w",)),
        "synthalFLAIR": qc.MaskInput(labels, "synthal", ("FLAIR",)),
        "synthalT1FLAIR": qc.MaskInput(labels, "synthal", ("T1w", "FLAIR")),
    }
    sha = digest(labels != 0, affine, np.uint8)
    rated = {"synthalFLAIR": [{"Sha256": sha, "Reason": "failed by rater AB (too large)"}],
             "synthalT1w": [{"Sha256": "0" * 64, "Reason": "failed by rater CD"}]}  # fmt: skip
    changed, notes = effect.failed_masks(masks, affine, rated)
    assert notes == ["a rating of synthalT1w is not applied, as the mask has changed: failed by rater CD"]
    document = qc.build(subject="01", session=None, affine=affine, masks=changed)
    flag = document["Masks"]["synthalFLAIR"]["flags"][0]
    assert (flag["rule"], flag["reason"]) == ("rater", "Failed by rater AB (too large).")
    methods = [
        PlannedMask("synthalT1w", "synthal", ("T1w",), "T1w"),
        PlannedMask("synthalFLAIR", "synthal", ("FLAIR",), "FLAIR"),
        PlannedMask("synthalT1FLAIR", "synthal", ("T1w", "FLAIR"), "ensemble", members=("synthalT1w", "synthalFLAIR")),
    ]
    rows = {row["method"]: row for row in volume_rows(methods, document["Masks"])}
    assert rows["synthalFLAIR"]["status"] == rows["synthalT1FLAIR"]["status"] == "excluded"
    assert "synthalFLAIR: Failed by rater AB (too large)." in rows["synthalT1FLAIR"]["reason"]
    assert rows["synthalFLAIR"]["volume_mm3"] == 27 * 240
    assert "rater" not in rows["synthalT1w"].get("reason", "")


def test_what_failed_is_told_by_registration_and_mask(tmp_path: Path):
    path = save_image(thalami()[0], np.eye(4), tmp_path / "m.nii.gz")
    base = Item(
        "0" * 16, "", "mask", "sub-01", "ses-1", "dbsegment", "", "m.nii.gz", fingerprint(path, "mask"), "0" * 64
    )
    items = [
        replace(base, identifier="00000001"),
        replace(base, identifier="00000002", kind="registration", target="FLAIR", strategy="a", file="gone.nii.gz"),
        replace(base, identifier="00000003", participant_id="sub-02", file="other.nii.gz"),
        replace(base, identifier="00000004", target="synthalT1w", file="passed.nii.gz"),
    ]
    write_key(tmp_path, base.page, items)
    rows = [
        {"page": base.page, "item": i.identifier, "rating": "pass" if "4" in i.identifier else "fail"} for i in items
    ]
    files = (write_ratings(tmp_path / "r.tsv", rows),)
    sessions = ("sub-01_ses-1", "sub-03_ses-1")
    verdicts, notes = effect.verdicts_on(sessions, tmp_path, Ratings(files=files))
    reason = "failed by rater AB"
    entry = {"Sha256": base.sha256, "Reason": reason}
    assert effect.rejected(verdicts, "FLAIR") == ({"Strategy": "a", **entry},)
    assert effect.rejected(verdicts, "R1map") == ()
    assert effect.failed(verdicts) == {"dbsegment": [entry]}
    stale = f"the rating ({reason}) is not applied: what was rated has changed since."
    assert notes == [
        "ratings: 4 things were rated, 3 failed, 2 of them of this run.",
        f"sub-01_ses-1: registration FLAIR by a: {stale}",
    ]
    assert effect.verdicts_on(sessions, tmp_path, Ratings()) == ([], [])
    files[0].write_text("page\n")
    with pytest.raises(MetadataError):
        effect.verdicts_on(sessions, tmp_path, Ratings(files=files))


def test_nothing_to_rate_is_said(tmp_path: Path):
    out = write_derivatives(tmp_path, [("01", "")])
    for path in out.glob("**/*_label-thalamus_*"):
        path.unlink()
    with pytest.raises(NoInputError, match="there are no masks to rate"):
        rating_page.write(out, what=["masks"])
