"""Keys of rating pages, raters' tables, and what several raters say together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rated import write_ratings
from thalbids.errors import ImageError, MetadataError
from thalbids.image.io import save_image
from thalbids.raters.ratings import (
    MASK,
    REGISTRATION,
    Item,
    Rating,
    bytes_sha256,
    fingerprint,
    guarded,
    key_path,
    read_key,
    read_ratings,
    standing,
    unguarded,
    verdicts,
    write_key,
)
from thalbids.settings import Ratings

PAGE = "0123456789abcdef"
ITEM = Item(PAGE, "aaaa0001", MASK, "sub-01", "ses-1", "synthalT1w", "", "sub-01/m.nii.gz", "1" * 64, "2" * 64)
OTHER = replace(ITEM, identifier="aaaa0002", target="dbsegment", file="sub-01/d.nii.gz", sha256="3" * 64)
AGAIN = replace(ITEM, identifier="aaaa0003", repeats=ITEM.identifier)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_key(tmp_path, PAGE, [ITEM, OTHER, AGAIN], Seed=1)
    return tmp_path


def row(item: Item, **more: str) -> dict[str, str]:
    return {"page": item.page, "item": item.identifier, **more}


def test_a_key_comes_back_as_it_was_written(out: Path):
    assert read_key(out, PAGE) == {item.identifier: item for item in (ITEM, OTHER, AGAIN)}
    assert key_path(out, PAGE) == out / "logs" / f"rating_{PAGE}.json"


def test_ratings_are_unblinded(out: Path, tmp_path: Path):
    table = write_ratings(
        tmp_path / "a.tsv",
        [row(ITEM, rating="fail", reason="too large; =1+1", comment="'=HYPERLINK(1)"), row(OTHER)],
        "Ä. B.",
    )
    first, second = read_ratings(out, [table])
    assert first == Rating(ITEM, "Ä. B.", "fail", "too large; =1+1", "=HYPERLINK(1)")
    assert second == Rating(OTHER, "Ä. B.", "pass")


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(out: Path, tmp_path: Path):
    table = write_ratings(tmp_path / "a.tsv", [row(ITEM)])
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n"))
    assert [r.item for r in read_ratings(out, [table])] == [ITEM]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"page": "f" * 16}, "there is no key of the rating page ffff"),
        ({"page": "../../etc"}, "'../../etc' is no rating page"),
        ({"item": "bbbb0001"}, "has no item 'bbbb0001'"),
        ({"rating": "maybe"}, "'maybe' is no rating"),
        ({"rater": "n/a"}, "row 2 names no rater"),
    ],
)
def test_what_cannot_be_read_is_said(out: Path, tmp_path: Path, change: dict[str, str], problem: str):
    table = write_ratings(tmp_path / "a.tsv", [row(ITEM) | change])
    with pytest.raises(MetadataError, match=problem.replace(".", r"\.")):
        read_ratings(out, [table])


def test_a_table_of_something_else_is_refused(out: Path, tmp_path: Path):
    (tmp_path / "b.tsv").write_text("page\titem\n")
    with pytest.raises(MetadataError, match="no column rater, rating, reason, comment"):
        read_ratings(out, [tmp_path / "b.tsv"])


def test_the_same_rating_twice_counts_once_and_two_different_ones_are_refused(out: Path, tmp_path: Path):
    one = write_ratings(tmp_path / "a.tsv", [row(ITEM)])
    more = write_ratings(tmp_path / "b.tsv", [row(ITEM), row(OTHER)])
    assert len(read_ratings(out, [one, more])) == 2
    against = write_ratings(tmp_path / "c.tsv", [row(ITEM, rating="fail")])
    with pytest.raises(MetadataError, match="AB rated item aaaa0001 twice, pass and fail"):
        read_ratings(out, [one, against])
    assert len(read_ratings(out, [one, write_ratings(tmp_path / "d.tsv", [row(ITEM, rating="fail")], "CD")])) == 2


@pytest.mark.parametrize("damage", ['{"Items": []}', '{"Items": {"aaaa0001": {"Kind": "mask"}}}', "{}"])
def test_a_damaged_key_is_said(out: Path, damage: str):
    key_path(out, PAGE).write_text(damage)
    with pytest.raises(MetadataError, match="the key of the rating page is damaged"):
        read_key(out, PAGE)


@pytest.mark.parametrize("file", ["/etc/passwd", "../elsewhere.nii.gz"])
def test_a_key_cannot_point_elsewhere(tmp_path: Path, file: str):
    write_key(tmp_path, PAGE, [replace(ITEM, file=file)])
    with pytest.raises(MetadataError, match="outside the derivatives"):
        read_key(tmp_path, PAGE)


def said(*votes: str) -> list[Rating]:
    return [Rating(ITEM, f"R{number}", vote) for number, vote in enumerate(votes)]


@pytest.mark.parametrize(
    ("votes", "rule", "unsure", "failed"),
    [
        (("pass", "pass", "fail"), "any", "ignore", True),
        (("pass", "unsure"), "any", "ignore", False),
        (("pass", "unsure"), "any", "fail", True),
        (("pass", "fail"), "majority", "ignore", False),
        (("pass", "fail", "fail"), "majority", "ignore", True),
        (("pass", "fail", "unsure"), "majority", "fail", True),
        (("fail", "unsure"), "majority", "pass", False),
        (("fail", "fail"), "consensus", "ignore", True),
        (("fail", "pass"), "consensus", "ignore", False),
        (("fail", "unsure"), "consensus", "ignore", True),
        (("fail", "unsure"), "consensus", "pass", False),
        (("unsure", "unsure"), "consensus", "ignore", False),
    ],
)
def test_the_rule_decides(votes: tuple[str, ...], rule: str, unsure: str, failed: bool):
    (verdict,) = verdicts(said(*votes), Ratings(rule=rule, unsure=unsure))
    assert verdict.failed is failed


def test_the_reason_names_who_said_what():
    ratings = [Rating(ITEM, "AB", "fail", "too large"), Rating(ITEM, "CD", "pass"), Rating(ITEM, "EF", "fail")]
    (verdict,) = verdicts(ratings, Ratings())
    assert verdict.reason == "failed by raters AB (too large), EF; passed by rater CD"


def test_a_repeat_does_not_decide_unless_it_stands_alone():
    both = [Rating(AGAIN, "AB", "fail"), Rating(ITEM, "AB", "pass")]
    assert [v.failed for v in verdicts(both, Ratings())] == [False]
    assert [v.failed for v in verdicts(both[:1], Ratings())] == [True]


@given(st.text())
def test_a_guarded_text_comes_back_and_is_no_formula(text: str):
    assert unguarded(guarded(text)) == ("" if text == "n/a" else text)
    assert not guarded(text).startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("reference", ["T1w", "T2w"])
def test_standing_follows_the_file(tmp_path: Path, reference: str):
    affine, data = np.diag([2.0, 2.0, 2.0, 1.0]), np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    path = save_image(data, affine, tmp_path / "a" / f"sub-01_ses-1_space-{reference}_desc-preproc_FLAIR.nii.gz")
    item = replace(
        ITEM, kind=REGISTRATION, target="FLAIR", strategy="ants", file=f"a/{path.name}",
        sha256=fingerprint(path, REGISTRATION), file_sha256=bytes_sha256(path),
    )  # fmt: skip
    assert standing(tmp_path, item) == "current"
    assert standing(tmp_path, replace(item, file_sha256="0")) == "current"  # compressed otherwise, the same voxels
    save_image(data + 1, affine, path)
    assert standing(tmp_path, item) == "stale"
    path.unlink()
    assert standing(tmp_path, item) == "stale"
    record = path.with_name(f"sub-01_ses-1_from-FLAIR_to-{reference}_mode-image_xfm.json")
    record.write_text(f'{{"FailedByRater": [{{"Strategy": "ants", "Sha256": "{item.sha256}", "Reason": "x"}}]}}')
    assert standing(tmp_path, item) == "applied"


def test_a_mask_is_what_is_inside_whatever_its_labels(tmp_path: Path):
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[1, 1:3, 1], labels[2, 1, 1] = 10, 49
    one = fingerprint(save_image(labels, np.eye(4), tmp_path / "a.nii.gz"), MASK)
    assert one == fingerprint(save_image(labels != 0, np.eye(4), tmp_path / "b.nii.gz"), MASK)
    moved = np.eye(4)
    moved[0, 3] = 1
    assert one != fingerprint(save_image(labels, moved, tmp_path / "c.nii.gz"), MASK)
    (tmp_path / "d.nii.gz").write_text("no image")
    with pytest.raises(ImageError, match="cannot be read"):
        fingerprint(tmp_path / "d.nii.gz", MASK)
