"""What a figure carries inside the page."""

from __future__ import annotations

import base64
import gzip
import io
import re

import pandas as pd
import pytest

from bmtlib.report import figures


@pytest.mark.parametrize(("rows", "ending"), [(3, "csv"), (20_000, "csv.gz")])
def test_table_inside_the_page_is_whole_and_small(rows: int, ending: str) -> None:
    table = pd.DataFrame({"second": range(rows), "arm": "l2dsr"})
    kept = figures._attached(table)
    content = base64.b64decode(kept["content"])
    text = gzip.decompress(content).decode() if kept["ending"].endswith("gz") else content.decode()
    assert kept["ending"] == ending
    assert re.match(r"[a-z]+/[a-z]+$", kept["kind"])
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(text)), table, check_dtype=False)
    assert len(content) < figures._LARGE_BYTES * 2
    assert figures._attached(table) == kept  # the same page each time
