"""`include`: files read together, with errors that name the right one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from services.config import Config, ConfigError, load
from services.include import MAX_DEPTH, MAX_FILES

ENTRY = "model_list: [{{model_name: {name}, litellm_params: {{model: openai/m}}}}]\n"


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """Writes files and loads `main.yaml`, the first of them."""
    monkeypatch.chdir(tmp_path)

    def read(files: Mapping[str, str], environ: Mapping[str, str] | None = None) -> Config:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return load(Path("main.yaml"), environ or {})

    return read


@pytest.fixture
def error_of(read: Callable[..., Config]) -> Callable[[Mapping[str, str]], str]:
    def error_of(files: Mapping[str, str]) -> str:
        with pytest.raises(ConfigError) as caught:
            read(files)
        return str(caught.value)

    return error_of


def entry(name: str) -> str:
    return ENTRY.format(name=name)


SAME_ID = "model_list: [{model_name: a, litellm_params: {model: x}, model_info: {id: i}}]"


def groups(config: Config) -> list[str]:
    return [each.model_name for each in config.model_list]


def test_lists_are_appended_in_the_order_of_the_files(read: Callable[..., Config]) -> None:
    files = {
        "main.yaml": "include: [a.yaml, more/b.yaml]\n" + entry("main"),
        "a.yaml": entry("a"),
        "more/b.yaml": "include: c.yaml\n" + entry("b"),
        "more/c.yaml": entry("c"),
    }
    config = read(files)
    assert groups(config) == ["main", "a", "b", "c"]
    assert [each.place.file for each in config.model_list] == ["main.yaml", "a.yaml", "more/b.yaml", "more/c.yaml"]
    assert len({each.info.id for each in config.model_list}) == 4
    assert config.ignored == ()


def test_mappings_are_updated_and_other_keys_stay(read: Callable[..., Config]) -> None:
    files = {
        "main.yaml": "include: a.yaml\nlitellm_settings: {request_timeout: 1, drop_params: true}\n"
        "router_settings: {num_retries: 1}\n",
        "a.yaml": "litellm_settings: {request_timeout: 2}\nenvironment_variables: {A: b}\n",
    }
    config = read(files)
    assert (config.litellm_settings.request_timeout, config.litellm_settings.drop_params) == (2, True)
    assert config.router_settings.num_retries == 1
    assert config.environment_variables == {"A": "b"}


def test_a_variable_may_name_the_file_and_an_included_one_may_set_those_of_all(read: Callable[..., Config]) -> None:
    files = {
        "main.yaml": "include: os.environ/MORE\nrouter_settings: {num_retries: os.environ/RETRIES}\n",
        "a.yaml": "environment_variables: {RETRIES: 7}\n",
    }
    assert read(files, {"MORE": "a.yaml"}).router_settings.num_retries == 7


def test_one_file_twice_is_two_of_each_deployment(read: Callable[..., Config]) -> None:
    config = read({"main.yaml": "include: [a.yaml, a.yaml]\n", "a.yaml": entry("a")})
    assert len({each.info.id for each in config.model_list}) == 2


def test_the_keys_without_effect_are_placed_in_their_files(read: Callable[..., Config]) -> None:
    files = {
        "main.yaml": "include: a.yaml\nrouter_settings: {surprise: 1}\n",
        "a.yaml": "mystery: 1\n\nrouter_settings:\n  enigma: 1\n",
    }
    assert [str(key.place) for key in read(files).ignored] == [
        "main.yaml:2: router_settings.surprise:",
        "a.yaml:4: router_settings.enigma:",
        "a.yaml:1: mystery:",
    ]


BROKEN = {
    "an error in an included file": (
        {"main.yaml": "include: a.yaml\n" + entry("m"), "a.yaml": "\nmodel_list:\n- model_name: 7\n"},
        "a.yaml:3: model_list[0].model_name: expected a text in quotes, found 7",
    ),
    "in a mapping that both have": (
        {
            "main.yaml": "include: a.yaml\nrouter_settings: {num_retries: 1}\n",
            "a.yaml": "router_settings:\n  num_retries: x\n",
        },
        "a.yaml:2: router_settings.num_retries: expected a whole number, found 'x'",
    ),
    "no YAML": (
        {"main.yaml": "include: a.yaml\n", "a.yaml": "a: [\n"},
        "a.yaml:2: no valid YAML: expected the node content, but found '<stream end>'",
    ),
    "a file that is not there": (
        {"main.yaml": "a: 1\ninclude:\n- none.yaml\n"},
        "main.yaml:2: include: none.yaml cannot be read: No such file or directory",
    ),
    "itself": (
        {"main.yaml": "include: main.yaml\n"},
        "main.yaml:1: include: main.yaml includes itself",
    ),
    "itself by way of another": (
        {"main.yaml": "include: a/b.yaml\n", "a/b.yaml": "include: ../main.yaml\n"},
        "a/b.yaml:1: include: a/../main.yaml includes itself",
    ),
    "no path": (
        {"main.yaml": "include: {a: b}\n"},
        "main.yaml:1: include: expected a text in quotes, or a list of them, found a mapping",
    ),
    "one id in two files": (
        {"main.yaml": f"include: a.yaml\n{SAME_ID}", "a.yaml": SAME_ID},
        "a.yaml:1: model_list[0].model_info.id: is already that of model_list[0] in main.yaml",
    ),
}


@pytest.mark.parametrize(("files", "message"), BROKEN.values(), ids=BROKEN)
def test_a_mistake_names_its_own_file_line_and_key(
    error_of: Callable[[Mapping[str, str]], str], files: Mapping[str, str], message: str
) -> None:
    assert error_of(files) == message


def chain(length: int) -> dict[str, str]:
    """A file that includes one that includes one, `length` deep."""
    names = ["main.yaml", *(f"{number}.yaml" for number in range(length))]
    return {name: f"include: {included}\n" for name, included in itertools.pairwise(names)} | {names[-1]: entry("last")}


def test_the_depth_has_a_limit(read: Callable[..., Config], error_of: Callable[[Mapping[str, str]], str]) -> None:
    assert groups(read(chain(MAX_DEPTH))) == ["last"]
    assert f"included more than {MAX_DEPTH} levels deep" in error_of(chain(MAX_DEPTH + 1))


def test_the_number_of_files_has_a_limit(
    read: Callable[..., Config], error_of: Callable[[Mapping[str, str]], str]
) -> None:
    def of(number: int) -> dict[str, str]:
        return {"main.yaml": f"include: [{', '.join(['a.yaml'] * number)}]\n", "a.yaml": entry("a")}

    assert len(read(of(MAX_FILES - 1)).model_list) == MAX_FILES - 1
    assert error_of(of(MAX_FILES)) == f"main.yaml:1: include: more than {MAX_FILES} files"
