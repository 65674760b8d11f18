"""The pictures of a rating: one grey picture with lines above it, and text that cannot end its element."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

from thalbids.raters import form
from thalbids.reports.palette import Style
from thalbids.reports.views import Mask, Volume, choose_focus

AFFINE = np.array([[2.0, 0, 0, -60], [0, 2.0, 0, -60], [0, 0, 2.0, -60], [0, 0, 0, 1]])
SHAPE = (60, 60, 60)


def scene(drawn: bool) -> tuple[Mask, Volume]:
    rng = np.random.default_rng(1)
    data = np.zeros(SHAPE, np.uint8)
    if drawn:
        data[22:28, 25:35, 27:33] = data[32:38, 25:35, 27:33] = 1
    t1w = Volume(rng.integers(1, 200, SHAPE).astype(np.int16), AFFINE)
    return Mask(Volume(data, AFFINE), "T1w", Style("#123456"), "k", "Secret method", False), t1w


def test_a_mask_is_drawn_without_its_name_and_nothing_is_said_to_be_drawn_where_nothing_is() -> None:
    for drawn in (True, False):
        mask, t1w = scene(drawn)
        picture = form.mask_picture(mask, t1w, choose_focus([mask], None, t1w))
        assert f"data-drawn='{int(drawn)}'" in picture and ("<path" in picture) == drawn
        assert "Secret" not in picture and "#123456" not in picture
        (size,) = re.findall(r"viewBox='0 0 (\d+) (\d+)'", picture)
        content = re.search(r"base64,([^']+)'", picture)
        assert content is not None
        assert Image.open(io.BytesIO(base64.b64decode(content[1]))).size == tuple(map(int, size))


def test_text_on_the_page_cannot_end_its_script() -> None:
    page = form.page("abc", [form.Card("x1", "mask", "<svg></script><b>")])
    assert "</script><b>" not in page and "\\u003csvg" in page
    assert '<script type="application/json" id="ix1">' in page
