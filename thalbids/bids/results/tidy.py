"""The volumes of a derivative dataset as one tidy pandas table: ``thalbids.read_volumes(OUT)``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalbids.bids.results import derivatives
from thalbids.bids.tabular.near_labels import with_prefix
from thalbids.errors import NoInputError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "participant_id", "session_id", "method", "image", "volume_ml", "volume_left_ml", "volume_right_ml", "icv_ml",
    "icv_source", "trusted", "status", "reason",
)  # fmt: skip


def read_volumes(
    out_dir: Path | str, participants: Collection[str] = (), sessions: Collection[str] = ()
) -> pd.DataFrame:
    """The thalamus volumes of a folder that ``thalbids BIDS_DIR OUTPUT_DIR participant`` wrote.

    Parameters
    ----------
    out_dir : the output folder
    participants, sessions : labels, with or without ``sub-`` and ``ses-``; empty means all

    Returns
    -------
    pandas.DataFrame
        One row per participant, session and method, in natural order: ``participant_id`` (``sub-01``), ``session_id``
        (``ses-1``; "" without sessions), ``method``, ``image``, ``volume_ml``, ``volume_left_ml``, ``volume_right_ml``
        (mL; NaN when missing), ``icv_ml`` and ``icv_source`` (first usable intracranial volume of the session),
        ``trusted`` (False where quality control says that the mask must not be used; None where there is none),
        ``status`` (ok, missing, failed, excluded) and ``reason``. Numbers of rows whose status is not ok are there for
        looking at: analyse ``table[table.status == "ok"]``.

    Raises
    ------
    NoInputError
        The folder is not there, or holds no volumes.

    Examples
    --------
    >>> table = read_volumes("derivatives/thalbids")  # doctest: +SKIP
    >>> table[table.status == "ok"].pivot(index=["participant_id", "session_id"], columns="method", values="volume_ml")
    ... # doctest: +SKIP
    """
    import pandas as pd

    labels = {with_prefix(label, "sub-").removeprefix("sub-") for label in participants}
    visits = {with_prefix(label, "ses-").removeprefix("ses-") for label in sessions}
    places = derivatives.find_places(Path(out_dir), labels, visits)
    rows = derivatives.read_volumes(places).rows
    if not rows:
        mend = "Run the participant level first, or check the folder and the labels."
        raise NoInputError("there are no thalamus volumes (*_desc-thalamus_morph.tsv).", mend, Path(out_dir))
    skulls: dict[tuple[str, str], dict[str, Any]] = {}
    for row in derivatives.read_icv(places)[0]:
        if row["status"] == "ok":
            skulls.setdefault((row["participant_id"], row["session_id"]), row)
    documents = derivatives.read_documents(places)
    for row in rows:
        key = row["participant_id"], row["session_id"]
        skull = skulls.get(key, {})
        row |= {"icv_ml": skull.get("icv_ml", float("nan")), "icv_source": skull.get("source", "")}
        row["trusted"] = documents.get(key, {}).get("Masks", {}).get(row["method"], {}).get("trusted")
    return pd.DataFrame(rows, columns=list(COLUMNS))
