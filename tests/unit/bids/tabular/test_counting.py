"""Order of labels, one row per person."""

from __future__ import annotations

import pandas as pd

from thalbids.bids.tabular.counting import natural, one_per_person


def test_sessions_in_their_order_and_one_per_person() -> None:
    assert natural("ses-2") < natural("ses-10") < natural("ses-a")
    assert natural(None) < natural("ses-1")
    rows = [("sub-1", "ses-1"), ("sub-1", "ses-2"), ("sub-2", "ses-1"), ("sub-1", "ses-10")]
    table = pd.DataFrame(rows, columns=["participant_id", "session_id"]).assign(rater="a", status="ok")
    table.loc[0, "status"] = "excluded"
    kept = one_per_person(table, ["rater"])
    assert list(zip(kept["participant_id"], kept["session_id"], strict=True)) == [
        ("sub-1", "ses-2"),
        ("sub-2", "ses-1"),
    ]
