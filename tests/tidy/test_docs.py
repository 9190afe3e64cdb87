"""What the documentation must mention, held to the code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_setting_is_documented() -> None:
    """Each environment variable that `services/settings.py` reads has its line in the reference."""
    variables = set(
        re.findall(r"\b(?:TOLLHOUSE|LITELLM)_[A-Z_]+|\bDATABASE_URL|\bREDIS_URL", _read("services/settings.py"))
    )
    assert len(variables) > 5
    reference = _read("docs/reference/settings.md")
    assert sorted(variable for variable in variables if variable not in reference) == []


def test_every_admin_path_is_documented() -> None:
    """Each path of a table of routes or reports in `edge/` has its place in the reference."""
    source = "".join(path.read_text() for path in (ROOT / "edge").rglob("*.py"))
    paths = set(re.findall(r"""(?:AdminRoute\(\s*"\w+",|Report\()\s*"(/[^"]*)\"""", source))
    assert len(paths) > 15
    reference = _read("docs/reference/admin.md")
    documented = {path.replace("{model:path}", "{model}") for path in paths}
    assert sorted(path for path in documented if f"{path}`" not in reference) == []


def test_every_decision_is_listed_once_and_has_its_parts() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for page in pages:
        headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
        assert headings[:3] == ["Context", "Decision", "Consequences"], page.name


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = re.sub(r"`[^`]*`", "", page.read_text())  # what is code leads nowhere
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def _read(name: str) -> str:
    return (ROOT / name).read_text()
