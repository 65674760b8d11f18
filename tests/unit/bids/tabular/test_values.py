"""Cells of clinical tables: values in the unit of thalbids, or the reason why there is none."""

from __future__ import annotations

import pytest

from thalbids.bids.tabular import values
from thalbids.bids.tabular.values import NotAValueError, Reader
from thalbids.errors import UsageError
from thalbids.settings import Clinical


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("edss", "3.5", 3.5),
        ("sex", " Woman ", "F"),
        ("steroid", "Ja", 1.0),
        ("diagnosis", "relapsing-remitting MS", "RRMS"),
        ("diagnosis", "something else", "something else"),
        ("acq_time", "2024-05-31T10:30:00+02:00", "2024-05-31T08:30:00"),
        ("site", "Basel", "Basel"),
        ("t25fw_1", "5.2", 5.2),
    ],
)
def test_values(variable: str, text: str, value: object) -> None:
    assert Reader.of(Clinical()).value(variable, text) == value


@pytest.mark.parametrize(
    ("variable", "text", "why"),
    [
        ("edss", "3.2", "multiple of 0.5"),
        ("edss", "11", "from 0 to 10"),
        ("t25fw", "0", "above 0"),
        ("age", "12,5", "decimal_comma"),
        ("age", "old", "is not a number"),
        ("sex", "yes", "F, M or O"),
        ("steroid", "perhaps", "yes or no"),
        ("acq_time", "31.5.2024", "is not a date"),
    ],
)
def test_what_is_no_value_says_why(variable: str, text: str, why: str) -> None:
    with pytest.raises(NotAValueError, match=why):
        Reader.of(Clinical()).value(variable, text)


def test_settings_change_what_is_read() -> None:
    reader = Reader.of(Clinical(missing_codes=("-99",), decimal_comma=True, units={"age": "months"}))
    assert reader.is_missing("-99.0") and reader.is_missing("N/A") and not reader.is_missing("99")
    assert reader.value("age", "366,0") == pytest.approx(30.5)
    assert Reader.of(Clinical(diagnosis_groups={"MS": ("rrms",)})).value("diagnosis", "RRMS") == "MS"


@pytest.mark.parametrize(
    "settings",
    [{"units": {"agee": "years"}}, {"units": {"age": "year"}}, {"diagnosis_groups": {"A": ("x",), "B": ("X",)}}],
)
def test_settings_that_cannot_be(settings: dict) -> None:
    with pytest.raises(UsageError):
        Reader.of(Clinical(**settings))


def test_days_between_dates() -> None:
    assert values.days_between("2024-02-28", "2024-03-01T12:00:00") == 2.5
