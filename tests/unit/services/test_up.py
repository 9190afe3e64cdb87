"""What `tollhouse up` tells a newcomer, and which secrets it makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from services import config
from services.config import Config
from services.settings import Settings
from services.up import MasterKey, welcome, with_secrets

KEY = MasterKey("data/secrets/master_key", "$(cat data/secrets/master_key)")


def read(text: str) -> Config:
    return config.parse(text, name="config.yaml", environ={})


def test_without_any_secret_all_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings, master_key = with_secrets(Settings(data=tmp_path / "my data"), None, Config())
    assert settings.master_key == (tmp_path / "my data/secrets/master_key").read_text().strip()
    assert len({settings.master_key, settings.internal_token, settings.pepper, ""}) == 4
    assert master_key == MasterKey("my data/secrets/master_key", "$(cat 'my data/secrets/master_key')")
    assert with_secrets(Settings(data=tmp_path / "my data"), None, Config()) == (settings, master_key)


def test_a_key_outside_of_the_current_folder_is_shown_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    _, master_key = with_secrets(Settings(data=tmp_path / "data"), None, Config())
    assert master_key.source == f"{tmp_path}/data/secrets/master_key"


def test_secrets_that_are_given_are_used_and_none_is_made(tmp_path: Path) -> None:
    given = Settings(data=tmp_path, master_key="sk-given", internal_token="token", pepper="pepper")
    settings, master_key = with_secrets(given, None, Config())
    assert settings == given
    assert master_key == MasterKey("the variable LITELLM_MASTER_KEY", "$LITELLM_MASTER_KEY")
    assert list(tmp_path.iterdir()) == []


def test_a_key_of_the_configuration_is_named_and_not_shown(tmp_path: Path) -> None:
    given = Settings(data=tmp_path, master_key="sk-file")
    _, master_key = with_secrets(given, Path("config.yaml"), read("general_settings: {master_key: sk-file}"))
    assert master_key == MasterKey("general_settings.master_key in config.yaml", "YOUR_MASTER_KEY")


def test_the_welcome_tries_the_first_model() -> None:
    models = 'model_list: [{model_name: "it\'s", litellm_params: {model: openai/gpt-4o-mini}}]'
    assert welcome("127.0.0.1", 4000, KEY, read(models)) == (
        "Tollhouse listens on http://127.0.0.1:4000\n"
        "Master key: data/secrets/master_key\n"
        "Try it:\n"
        '  curl http://127.0.0.1:4000/v1/chat/completions -H "Authorization: Bearer $(cat data/secrets/master_key)" '
        "-H 'Content-Type: application/json' "
        """-d '{"model": "it'"'"'s", "messages": [{"role": "user", "content": "Hello"}]}'"""
    )


def test_without_models_it_lists_them() -> None:
    assert welcome("127.0.0.1", 4000, KEY, Config()).endswith(
        'curl http://127.0.0.1:4000/v1/models -H "Authorization: Bearer $(cat data/secrets/master_key)"'
    )


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.1.2.3", "10.1.2.3")])
def test_an_address_that_means_all_is_shown_as_one_that_answers(host: str, shown: str) -> None:
    assert f"http://{shown}:4000" in welcome(host, 4000, KEY, Config())
