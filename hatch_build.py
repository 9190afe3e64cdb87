"""Builds the Python messages from protos/ whenever the project is installed; they are never committed.

Run as a program (`python hatch_build.py`) it does the same in place: `make protos`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # a plain `python hatch_build.py` needs no hatchling
    BuildHookInterface = object  # type: ignore[assignment,misc]


def generate(root: Path) -> None:
    """Write `*_pb2.py` and `*_pb2.pyi` beside every `.proto` under `root`."""
    import grpc_tools
    from grpc_tools import protoc

    well_known = Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.proto"))
    if protoc.main(["protoc", f"-I{root}", f"-I{well_known}", f"--python_out={root}", f"--pyi_out={root}", *files]):
        raise SystemExit("protoc refused the files under protos/; its message is above")
    for file in files:
        folder = (root / file).parent
        while folder != root:
            (folder / "__init__.py").touch()
            folder = folder.parent


class CustomBuildHook(BuildHookInterface):
    """hatchling calls this before it packs a wheel, editable ones too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "wheel":
            generate(Path(self.root) / "protos")


if __name__ == "__main__":
    generate(Path(__file__).resolve().parent / "protos")
