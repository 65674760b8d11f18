"""Tables of the paper's kind."""

from __future__ import annotations

import pytest

from tests.unit.reports.group import paper_tables
from thalbids.reports.group.group_data import Tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables(paper_tables.write(tmp_path_factory.mktemp("paper")))
