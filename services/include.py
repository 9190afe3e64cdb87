"""`include` of config.yaml: the files that a file names, read with it.

A path is relative to the file that names it. Included files come after it, in their order, each followed by those that
it includes itself; so where mappings are merged the later wins, as in LiteLLM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from services.section import Section
from services.yamltext import ConfigError, Place, read

# Twenty thousand deployments written at length; anything larger is not a configuration.
MAX_FILE_BYTES = 4 * 1024 * 1024
# A file a team, and a few more. Each is read whole, so this also bounds the memory that a configuration can take.
MAX_FILES = 100
# A file of files of files; what is nested deeper cannot be followed by a reader either.
MAX_DEPTH = 8


def read_files(path: Path, environ: Mapping[str, str]) -> list[Section]:
    """The whole of each file, that of `path` first. ConfigError when one cannot be read, or includes itself."""
    return list(_Reader(environ).read(path, Place(str(path)), ()))


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._files = 0

    def read(self, path: Path, place: Place, parents: tuple[Path, ...]) -> Iterator[Section]:
        """`place`: where the file is named. `parents`: the resolved paths of the files around it."""
        resolved = path.resolve()
        if resolved in parents:
            raise ConfigError(place, f"{path} includes itself")
        if len(parents) > MAX_DEPTH:
            raise ConfigError(place, f"files are included more than {MAX_DEPTH} levels deep")
        self._files += 1
        if self._files > MAX_FILES:
            raise ConfigError(place, f"more than {MAX_FILES} files")
        document = read(_text_of(path, place), str(path))
        root = Section(document, "", document.root, self._environ)
        yield root
        for name in root.names("include") or ():
            yield from self.read(path.parent / name, root.place_of("include"), (*parents, resolved))


def _text_of(path: Path, place: Place) -> str:
    subject = "" if place.file == str(path) else f"{path} "
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(place, f"{subject}cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(place, f"{subject}is larger than {MAX_FILE_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(Place(str(path), line), "is not UTF-8") from error
