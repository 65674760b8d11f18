"""Rows, participants and sessions: who counts how often, and in which order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


DIGITS = 1000  # of a number in a label that are looked at: Python refuses to read one of thousands of digits


def natural(label: object) -> tuple[tuple[int, int, str], ...]:
    """Key that sorts labels as people do: ``ses-2`` before ``ses-10``.

    Examples
    --------
    >>> sorted(["ses-10", "ses-2", "ses-a"], key=natural)
    ['ses-2', 'ses-10', 'ses-a']
    """
    parts = re.split(r"(\d+)", "" if label is None else str(label))
    return tuple((0, int(part[:DIGITS]), "") if part.isdecimal() else (1, 0, part) for part in parts if part)


def one_per_person(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The rows that can be used (status ok) of each participant's first session, so that a person counts once.

    The rows of ``table`` stand in the order of visits; ``by`` names the columns that tell those of one session apart
    (rater, method). The first session is the first of those that have such rows, which need not be the participant's
    first.
    """
    return table[table["status"] == "ok"].drop_duplicates(["participant_id", *by])
