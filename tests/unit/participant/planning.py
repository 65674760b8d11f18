"""What tests of plans share: SynThal without its weights. Import both names; the fixture applies by itself."""

from __future__ import annotations

import pytest

from thalbids.methods.embedded import SynThal
from thalbids.participant.stages.session import anatomy


class Fixed(SynThal):
    """SynThal whose parameters do not need the weights."""

    def params(self, settings: object) -> dict[str, str]:
        return {"Weights": "none"}


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anatomy, "_weights", lambda: "none")
