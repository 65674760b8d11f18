"""The demo dataset's people and geometry, and how measured change is set beside the true one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cohort import morph_row, write_rows
from thalbids import demo
from thalbids.errors import OutputError, UsageError


def test_people_depend_on_the_seed_and_not_on_how_many_there_are() -> None:
    few, many = demo.people(2, 5), demo.people(6, 5)
    assert many[:2] == few and demo.people(2, 6) != few
    assert [person.diagnosis for person in many] == ["HC", "RRMS", "SPMS"] * 2
    assert all((person.duration is None) == (person.diagnosis == "HC") for person in many)
    assert all(min(person.change) < 0 for person in many)


def test_geometry_by_hand() -> None:
    np.testing.assert_allclose(demo.rotation((0, 0, 90)) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(demo.rotation((90, 0, 90)) @ [0, 1, 0], [0, 0, 1], atol=1e-12)  # x first
    np.testing.assert_allclose(demo.smoothstep(np.array([-1, 0, 0.5, 1, 2])), [0, 0, 0.5, 1, 1])
    assert demo.lattice(np.zeros(3), np.array([1.0, 2.0, 1.0]), 1.0).tolist() == [[0, 0, 0], [0, 1, 0]]


def test_a_sheet_of_points_is_warped_as_single_points_are() -> None:
    warp, rng = demo.Warp.of(demo.people(1, 3)[0]), np.random.default_rng(0)
    rows, columns = rng.normal(0, 60, (5, 3)), rng.normal(0, 60, (4, 3))
    expected = [warp((row + column)[None])[0] for row in rows for column in columns]
    np.testing.assert_allclose(warp.sheet(rows, columns), expected, atol=1e-10)


def test_thalami_shrink_around_their_centres_and_nothing_crosses_the_midline() -> None:
    change = (-0.3, 0.2)
    points = np.concatenate([demo.CENTRE * (1, 1, 1) + [2, 1, -3], demo.CENTRE * (-1, 1, 1) + [1, -2, 2]]).reshape(2, 3)
    moved = demo.expand(points, change)
    for point, place, side, fraction in zip(points, moved, (-1, 1), change, strict=True):
        centre = demo.CENTRE * (-side, 1, 1)
        np.testing.assert_allclose(place - centre, (point - centre) * (1 + fraction) ** (-1 / 3))
    beside = demo.lattice(np.array([-30.0, -60, -30]), np.array([30.0, 30, 40]), 1.7)
    for fraction in (-0.3, 0.3):
        there = demo.expand(beside, (fraction, fraction))
        assert (there[:, 0] * beside[:, 0] >= 0).all()
        away = np.minimum(demo.ellipsoid(beside, -1), demo.ellipsoid(beside, 1)) > demo.FADED
        assert np.array_equal(there[away], beside[away]) and (there != beside).any(1)[~away].mean() > 0.9


def test_a_thalamus_without_change_stays_where_it_is() -> None:
    points = demo.lattice(np.full(3, -40.0), np.full(3, 40.0), 8.0)
    np.testing.assert_allclose(demo.expand(points, (0.0, 0.0)), points, atol=1e-9)
    assert np.abs(demo.expand(points, (-0.05, 0.0)) - points).max() > 0


def test_change_is_compared_with_the_truth(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    truth = [
        {"participant_id": "sub-01", "change_percent": "-5.0"},
        {"participant_id": "sub-02", "change_percent": "-1"},
    ]
    write_rows(raw / "truth.tsv", truth)
    for session, volume in ((demo.SESSIONS[0], 12000.0), (demo.SESSIONS[1], 11400.0)):
        path = out / "sub-01" / f"ses-{session}" / "anat" / f"sub-01_ses-{session}_desc-thalamus_morph.tsv"
        write_rows(path, [morph_row("first", 9000.0), morph_row("synthalT1w", volume)])
    (one, two) = demo.compare(raw, out)
    assert one == ("sub-01", -5.0, pytest.approx(-5.0)) and two == ("sub-02", -1.0, None)


def test_a_folder_with_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="something other"):
        list(demo.write_dataset(tmp_path))
    with pytest.raises(OutputError, match="not a folder"):
        list(demo.write_dataset(tmp_path / "mine.txt"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_of_other_things_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "derivatives").mkdir()
    with pytest.raises(UsageError, match="something other than a demo"):
        demo.check_folder(tmp_path, 3, 1)
    (tmp_path / "raw").mkdir()
    demo.check_folder(tmp_path, 3, 1)
    demo.check_folder(tmp_path / "new", 3, 1)
    with pytest.raises(UsageError, match="--subjects"):
        demo.check_folder(tmp_path / "new", 0, 1)
