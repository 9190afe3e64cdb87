"""Every configuration of the user's guide starts as it stands, and the models in it answer."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.fake_provider import FakeProvider
from tests.stack import Gateway, StartGateway

GUIDE = Path(__file__).resolve().parents[1] / "guide"
QUESTION = "德国的首都是什么？"
# For parts of the guide's file that bring no models of their own.
MODELS = "\nmodel_list: [{model_name: gpt-4o, litellm_params: {model: openai/gpt-4o, api_key: sk-a}}]\n"


async def chat(gateway: Gateway, model: str, key: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": QUESTION}]}
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.post(f"{gateway.base_url}/v1/chat/completions", headers=headers, json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


async def models(gateway: Gateway, key: str) -> set[str]:
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.get(f"{gateway.base_url}/v1/models", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    return {model["id"] for model in answer.json()["data"]}


def warnings(gateway: Gateway) -> list[list[str]]:
    """What each warning of keys without effect named."""
    return [event["what"] for event in gateway.logs("up") if event["event"] == "without_effect"]


def environ_of(provider: FakeProvider) -> dict[str, str]:
    return {"OPENAI_API_KEY": "sk-openai", "ANTHROPIC_API_KEY": "sk-anthropic", "OPENAI_BASE_URL": provider.base_url}


async def test_the_server(stack: StartGateway, fake_provider: FakeProvider) -> None:
    gateway = await stack((GUIDE / "server.yaml").read_text(), environ=environ_of(fake_provider))
    key = "sk-my-secret-master-key"
    assert await models(gateway, key) >= {"gpt-4o", "gpt-4o-mini", "mistral-7b-local", "fast-model"}
    for model, called in (("gpt-4o", "gpt-4o"), ("gpt-4o-mini", "gpt-4o-mini"), ("fast-model", "gpt-4o-mini")):
        assert (await chat(gateway, model, key)).startswith("Hello")
        seen = fake_provider.seen[-1]
        assert (seen.body["model"], seen.body["messages"][0]["content"]) == (called, QUESTION)
        assert seen.headers["authorization"] == "Bearer sk-openai"
    (told,) = warnings(gateway)
    assert any("litellm_settings.set_verbose" in line for line in told)
    assert not any("unknown" in line for line in told)


async def test_fallbacks_with_a_bare_model_name(stack: StartGateway, fake_provider: FakeProvider) -> None:
    gateway = await stack((GUIDE / "fallbacks.yaml").read_text(), environ=environ_of(fake_provider))
    assert (await chat(gateway, "smart-fallback", gateway.master_key)).startswith("Hello")
    assert fake_provider.seen[-1].body["model"] == "gpt-4o"


async def test_load_balancing_uses_both_keys(stack: StartGateway, fake_provider: FakeProvider) -> None:
    gateway = await stack((GUIDE / "load-balancing.yaml").read_text(), environ=environ_of(fake_provider))
    # That one of two gets none of forty: once in 2 ** 39.
    for _ in range(40):
        await chat(gateway, "gpt-4o", gateway.master_key)
        if len(keys := {seen.headers["authorization"] for seen in fake_provider.seen}) == 2:
            break
    assert keys == {"Bearer sk-key-1", "Bearer sk-key-2"}


@pytest.mark.parametrize("name", ["cache", "rate-limits", "timeouts", "provider-429s"])
async def test_a_part_of_the_file(name: str, stack: StartGateway, fake_provider: FakeProvider) -> None:
    gateway = await stack((GUIDE / f"{name}.yaml").read_text() + MODELS, environ=environ_of(fake_provider))
    assert (await chat(gateway, "gpt-4o", gateway.master_key)).startswith("Hello")


async def test_all_parts_together_by_include(stack: StartGateway, fake_provider: FakeProvider) -> None:
    files = sorted(GUIDE.glob("*.yaml"))
    assert len(files) == 7
    gateway = await stack(f"include: {[str(file) for file in files]}", environ=environ_of(fake_provider))
    key = "sk-my-secret-master-key"
    assert await models(gateway, key) >= {"gpt-4o", "fast-model", "smart-fallback"}
    assert (await chat(gateway, "smart-fallback", key)).startswith("Hello")
    assert len(warnings(gateway)) == 1


async def test_environment_variables_of_the_file_reach_the_providers(
    stack: StartGateway, fake_provider: FakeProvider
) -> None:
    """Also where the router itself looks for them: an entry that names neither key nor address."""
    gateway = await stack(
        f"environment_variables: {{OPENAI_BASE_URL: '{fake_provider.base_url}', OPENAI_API_KEY: sk-of-the-file}}\n"
        "model_list: [{model_name: m, litellm_params: {model: openai/gpt-4o}}]\n"
    )
    assert (await chat(gateway, "m", gateway.master_key)).startswith("Hello")
    assert fake_provider.seen[-1].headers["authorization"] == "Bearer sk-of-the-file"


async def again(gateway: Gateway, *arguments: str) -> None:
    """End the gateway and start it with another command line."""
    await gateway.stop("up")
    gateway.commands = {"up": ["127.0.0.1:0", *arguments]}
    await gateway.start("up")


async def test_the_command_line_of_litellm(stack: StartGateway, fake_provider: FakeProvider) -> None:
    """`litellm --config F --port P --host H --num_workers N --detailed_debug`, with our name in its place."""
    gateway = await stack((GUIDE / "load-balancing.yaml").read_text(), environ=environ_of(fake_provider))
    options = ["--port", "HTTP_PORT", "--host", "0.0.0.0", "--num_workers", "4", "--detailed_debug", "--run_gunicorn"]
    await again(gateway, "--config", "config.yaml", *options)
    assert (await chat(gateway, "gpt-4o", gateway.master_key)).startswith("Hello")
    output = gateway.log_file("up").read_text()
    assert "tollhouse: --num_workers has no effect yet: one process serves everything\n" in output
    assert gateway.master_key not in output


async def test_a_model_without_a_file(stack: StartGateway, fake_provider: FakeProvider) -> None:
    gateway = await stack("", environ=environ_of(fake_provider))
    await again(gateway, "--model", "gpt-4o-mini", "--port", "HTTP_PORT", "--api_base", fake_provider.base_url)
    assert await models(gateway, gateway.master_key) == {"gpt-4o-mini"}
    assert (await chat(gateway, "gpt-4o-mini", gateway.master_key)).startswith("Hello")


async def test_the_environment_may_name_file_and_port(stack: StartGateway, fake_provider: FakeProvider) -> None:
    environ = environ_of(fake_provider) | {"CONFIG_FILE_PATH": "config.yaml", "PORT": "0"}
    gateway = await stack((GUIDE / "load-balancing.yaml").read_text(), environ=environ)
    port = gateway.base_url
    await again(gateway, "up")
    assert gateway.base_url != port, "any free port, where the variable says 0"
    assert (await chat(gateway, "gpt-4o", gateway.master_key)).startswith("Hello")
