"""The page that tells who may use which admin route is the table's."""

from __future__ import annotations

from pathlib import Path

from edge.admin.access import TABLE
from edge.admin.reference import page

PAGE = Path(__file__).resolve().parents[4] / "docs/reference/access.md"


def test_the_page_is_made_of_the_table() -> None:
    """Else: `python -m edge.admin.reference > docs/reference/access.md`."""
    assert PAGE.read_text() == page()
    assert all(f"`{route}`" in page() for route in TABLE)
