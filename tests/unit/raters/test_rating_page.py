"""The page for raters."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.rated import METHODS, REGISTERED, write_derivatives
from thalbids.cli.main import main
from thalbids.errors import NoInputError
from thalbids.raters import rating_page
from thalbids.raters.ratings import fingerprint, read_key


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


def test_nothing_to_rate_is_said(tmp_path: Path):
    out = write_derivatives(tmp_path, [("01", "")])
    for path in out.glob("**/*_label-thalamus_*"):
        path.unlink()
    with pytest.raises(NoInputError, match="there are no masks to rate"):
        rating_page.write(out, what=["masks"])
