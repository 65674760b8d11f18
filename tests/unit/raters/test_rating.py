"""The page for raters tells nothing, the key everything; what raters failed changes the steps of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.rated import write_ratings
from thalbids.cli.main import main
from thalbids.raters.ratings import read_key


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
