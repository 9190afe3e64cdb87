"""The curl lines of the README, the admin reference and the guide to teams, run as they stand against a gateway as
`make run` has it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# And how many lines each has at least.
PAGES = (("README.md", 5), ("docs/reference/admin.md", 50), ("docs/how-to/teams-and-budgets.md", 22))

# What a reader's shell does not have: every answer of 400 and more ends it, and every other one is counted.
PRELUDE = """
set -eu
curl() { command curl --silent --show-error --fail-with-body --max-time 30 "$@"; echo; echo answered; }
"""


def shell_blocks(text: str) -> list[str]:
    """Blocks of commands that speak to a running gateway, and what they need."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for language, block in blocks if not language and block.startswith(("curl ", "KEY="))]


@pytest.mark.parametrize(("page", "lines"), PAGES)
async def test_every_curl_line_is_answered(stack, page: str, lines: int) -> None:
    gateway = await stack((ROOT / "examples/config.yaml").read_text())
    secrets = gateway.folder / ".tollhouse/secrets"
    secrets.mkdir(parents=True)
    (secrets / "master_key").write_text(gateway.master_key)

    script = "".join(shell_blocks((ROOT / page).read_text())).replace("http://127.0.0.1:4000", gateway.base_url)
    count = len(re.findall(r"^curl ", script, re.MULTILINE))
    assert count >= lines
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", PRELUDE + script),
        cwd=gateway.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert output.decode().splitlines().count("answered") == count
