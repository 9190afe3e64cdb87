"""compose.yaml and the Dockerfile, read by Docker Compose itself: what would run, with what, and what it is told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.__main__ import _parser
from services.postgres import MAX_CONNECTIONS
from services.settings import from_environment
from services.startup import NEEDS, demand

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = Path(sys.executable).with_name("docker-compose")
SECRETS = {
    "POSTGRES_PASSWORD": "the-postgres-password",
    "TOLLHOUSE_INTERNAL_TOKEN": "the-internal-token",
    "TOLLHOUSE_PEPPER": "the-pepper",
    "LITELLM_MASTER_KEY": "sk-the-master-key",
}
SECRET_NAME = re.compile(r"_KEY\b|TOKEN|PASSWORD|PEPPER|SECRET|_URL")
LONG_RUNNING = {"postgres", "valkey", *NEEDS}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Compose comes from a wheel for Linux only")


def compose(folder: Path, variables: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Compose on the project's file with these variables and no others."""
    env_file = folder / "env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    return subprocess.run(
        [COMPOSE, "--file", ROOT / "compose.yaml", "--env-file", env_file, *arguments],
        env={"PATH": "", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def read(folder: Path, *profiles: str, **variables: str) -> dict[str, Any]:
    """The file as Compose understands it; nothing of it may be worth a warning."""
    options = [option for profile in profiles for option in ("--profile", profile)]
    done = compose(folder, {**SECRETS, **variables}, *options, "config", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout))


@pytest.fixture
def services(tmp_path: Path) -> dict[str, Any]:
    return dict(read(tmp_path)["services"])


def dockerfile() -> list[str]:
    """Its instructions, a line each, without comments."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    return [line for line in text.replace("\\\n", " ").splitlines() if line]


def image_environment() -> dict[str, str]:
    (line,) = [line for line in dockerfile() if line.startswith("ENV PATH=")]
    return dict(re.findall(r"(\w+)=(\S+)", line))


def test_every_part_is_there_and_the_gpu_only_when_asked_for(tmp_path: Path) -> None:
    assert set(read(tmp_path)["services"]) == {*LONG_RUNNING, "migrate"}
    assert set(read(tmp_path, "gpu")["services"]) == {*LONG_RUNNING, "migrate", "vllm"}


def test_a_mistake_in_the_file_would_be_seen(tmp_path: Path) -> None:
    """That Compose really checks it."""
    broken = (ROOT / "compose.yaml").read_text().replace("service_completed_successfully", "service_completed", 1)
    (tmp_path / "broken.yaml").write_text(broken)
    done = compose(tmp_path, SECRETS, "--file", str(tmp_path / "broken.yaml"), "config", "--quiet")
    assert done.returncode != 0
    assert "condition" in done.stderr


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", [None, ""])
def test_a_secret_that_is_not_given_is_demanded(tmp_path: Path, name: str, value: str | None) -> None:
    given = {**SECRETS, name: value}
    done = compose(tmp_path, {key: text for key, text in given.items() if text is not None}, "config", "--quiet")
    assert done.returncode != 0
    assert f"required variable {name} is missing a value" in done.stderr


def test_no_secret_stands_in_the_file_or_the_image(services: dict[str, Any]) -> None:
    """What looks like a secret is one that was given, or the place of a file."""
    found = [
        (name, variable, value)
        for name, service in services.items()
        for variable, value in (service.get("environment") or {}).items()
        if SECRET_NAME.search(variable) and value  # empty: what it opens stays shut
    ]
    assert len(found) > len(SECRETS)
    allowed = {*SECRETS.values(), "/run/secrets/postgres_password", "redis://valkey:6379/0"}
    assert [each for each in found if each[2] not in allowed] == []
    defaults = re.findall(r"\$\{(\w+):?-[^}]+\}", (ROOT / "compose.yaml").read_text())
    assert [name for name in defaults if SECRET_NAME.search(name)] == []
    assert [line for line in dockerfile() if SECRET_NAME.search(line)] == []


@pytest.mark.parametrize("role", NEEDS)
def test_a_role_is_given_what_it_needs_and_no_other_secret(services: dict[str, Any], role: str) -> None:
    given = services[role]["environment"]
    demand([role], from_environment(given))
    secrets = {variable for variable, value in given.items() if any(secret in value for secret in SECRETS.values())}
    assert secrets <= {variable for _, variable in NEEDS[role]} | {"DATABASE_PASSWORD"}
    if role in ("router", "edge"):
        assert "DATABASE_PASSWORD" not in secrets


@pytest.mark.parametrize("service", [*NEEDS, "migrate"])
def test_what_a_container_runs_is_a_command_that_there_is(services: dict[str, Any], service: str) -> None:
    _parser().parse_args(services[service]["command"])
    if service != "migrate":
        test = services[service]["healthcheck"]["test"]
        assert test == ["CMD", "tollhouse", "health", service]
        _parser().parse_args(test[2:])
    assert 'ENTRYPOINT ["tollhouse"]' in dockerfile()


def test_everything_that_stays_has_a_health_check(tmp_path: Path) -> None:
    found = read(tmp_path, "gpu")["services"]
    assert {name for name, service in found.items() if service.get("healthcheck", {}).get("test")} == {
        *LONG_RUNNING,
        "vllm",
    }


def test_images_are_named_and_can_be_others(tmp_path: Path) -> None:
    found = read(tmp_path, "gpu")["services"]
    images = {name: service["image"] for name, service in found.items()}
    assert images.pop("postgres") == "postgres:18"
    assert images.pop("valkey") == "valkey/valkey:9"
    assert re.fullmatch(r"vllm/vllm-openai:v[\d.]+", images.pop("vllm"))
    assert set(images.values()) == {"tollhouse"}
    other = read(tmp_path, TOLLHOUSE_IMAGE="mine:1", PYTHON_IMAGE="python:3.12-slim")["services"]["edge"]
    assert (other["image"], other["build"]["args"]) == ("mine:1", {"BASE": "python:3.12-slim"})


def test_only_the_edge_is_reached_from_outside_and_at_first_from_this_host_only(tmp_path: Path) -> None:
    found = read(tmp_path)["services"]
    (port,) = found["edge"]["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "4000", 4000)
    assert [name for name, service in found.items() if service.get("ports")] == ["edge"]
    (port,) = read(tmp_path, TOLLHOUSE_HOST="0.0.0.0", TOLLHOUSE_PORT="80")["services"]["edge"]["ports"]
    assert (port["host_ip"], port["published"]) == ("0.0.0.0", "80")


@pytest.mark.parametrize("role", ["router", "keystore", "ledger"])
def test_what_calls_depend_on_runs_twice_and_has_nothing_that_collides(tmp_path: Path, role: str) -> None:
    service = read(tmp_path)["services"][role]
    assert service["deploy"]["replicas"] == 2
    assert read(tmp_path, **{f"{role.upper()}_REPLICAS": "5"})["services"][role]["deploy"]["replicas"] == 5
    assert "container_name" not in service
    assert "ports" not in service


def test_connections_of_the_replicas_leave_room_in_the_database(services: dict[str, Any]) -> None:
    """PostgreSQL takes 100 unless told otherwise, of which 3 are for its superuser; of each service one more may start
    before the old one has ended."""
    started = sum(services[role]["deploy"]["replicas"] * 2 for role in ("keystore", "ledger"))
    assert (started + 1) * MAX_CONNECTIONS <= 97


def test_only_routers_keep_something_and_all_of_them_in_the_outbox(services: dict[str, Any]) -> None:
    volumes = {
        role: [(each["source"], each["target"]) for each in services[role]["volumes"] if each["type"] == "volume"]
        for role in NEEDS
    }
    assert volumes.pop("router") == [("outbox", image_environment()["TOLLHOUSE_DATA"])]
    assert set(map(tuple, volumes.values())) == {()}


@pytest.mark.parametrize("role", NEEDS)
def test_every_role_reads_the_folder_of_the_configuration(tmp_path: Path, role: str) -> None:
    """A folder, so that `include` finds its files; only to be read, and never made by a mistake in its name."""
    named = {"examples": read(tmp_path), str(tmp_path): read(tmp_path, TOLLHOUSE_CONFIG=str(tmp_path))}
    for folder, found in named.items():
        service = found["services"][role]
        (mount,) = [each for each in service["volumes"] if each["type"] == "bind"]
        assert mount["source"] == str(ROOT / folder)
        assert (mount["read_only"], mount["bind"]) == (True, {"create_host_path": False})
        config = service["command"][service["command"].index("--config") + 1]
        assert config == f"{mount['target']}/config.yaml"
    assert (ROOT / "examples" / "config.yaml").is_file()


def test_roles_are_found_by_the_names_of_their_services(services: dict[str, Any]) -> None:
    port = image_environment()["TOLLHOUSE_GRPC_LISTEN"].removeprefix("0.0.0.0:")
    for role in NEEDS:
        for variable, named in (("ROUTERS", "router"), ("KEYSTORE", "keystore"), ("LEDGER", "ledger")):
            assert services[role]["environment"].get(f"TOLLHOUSE_{variable}") in (None, f"{named}:{port}")
    assert {"TOLLHOUSE_ROUTERS", "TOLLHOUSE_KEYSTORE", "TOLLHOUSE_LEDGER"} <= services["edge"]["environment"].keys()
    assert services["keystore"]["environment"]["REDIS_URL"] == "redis://valkey:6379/0"


def test_the_database_is_migrated_before_anything_uses_it(services: dict[str, Any]) -> None:
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    for role in ("ledger", "keystore"):
        assert services[role]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_what_must_not_be_lost_is_on_named_volumes(tmp_path: Path) -> None:
    found = read(tmp_path)
    places = {
        (name, volume["source"], volume["target"])
        for name in ("postgres", "valkey")
        for volume in found["services"][name]["volumes"]
    }
    # PostgreSQL 18's image keeps its data one folder higher than those before it.
    assert places == {("postgres", "postgres", "/var/lib/postgresql"), ("valkey", "valkey", "/data")}
    assert {"postgres", "valkey", "outbox"} <= found["volumes"].keys()
    assert "--locale=C" in found["services"]["postgres"]["environment"]["POSTGRES_INITDB_ARGS"]
    options = " ".join(found["services"]["valkey"]["command"])
    assert "--appendonly yes" in options
    assert "--maxmemory-policy noeviction" in options


@pytest.mark.parametrize("service", [*NEEDS, "migrate"])
def test_the_programs_own_containers_may_do_little(services: dict[str, Any], service: str) -> None:
    found = services[service]
    assert (found["read_only"], found["cap_drop"]) == (True, ["ALL"])
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found.get("privileged") is None
    assert [line for line in dockerfile() if line.startswith("USER")] == ["USER tollhouse"]


def test_the_model_server_has_the_hosts_gpus(tmp_path: Path) -> None:
    found = read(tmp_path, "gpu", VLLM_MODEL="org/model")["services"]["vllm"]
    (device,) = found["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", -1, ["gpu"])
    assert found["command"] == ["--model", "org/model"]
    assert found["ports"][0]["host_ip"] == "127.0.0.1"


def test_the_image_is_built_from_the_checked_lock_by_any_builder() -> None:
    lines = dockerfile()
    assert lines[0].startswith("ARG BASE=")
    assert [line for line in lines if line.startswith("FROM")] == ["FROM ${BASE} AS build", "FROM ${BASE}"]
    (install,) = [line for line in lines if "requirements.lock --wheel-dir" in line]
    assert "--require-hashes" in install
    # The classic builder knows no mounts.
    assert [line for line in lines if "--mount" in line] == []


def test_what_the_wheel_is_built_from_reaches_the_builder() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {*(package.partition("/")[0] for package in packages), project["project"]["readme"], "hatch_build.py"}
    assert needed | {"LICENSE", "pyproject.toml", "requirements.lock"} == allowed


def test_the_services_share_one_anchor() -> None:
    """What is the same for all of them stands once."""
    file = yaml.safe_load((ROOT / "compose.yaml").read_text())
    shared = file["x-service"]
    for name in (*NEEDS, "migrate"):
        service = file["services"][name]
        alike = shared.keys() - {"restart", "volumes"}
        assert {key: service[key] for key in alike} == {key: shared[key] for key in alike}
        assert [each for each in service["volumes"] if each in shared["volumes"]] == shared["volumes"]


def test_every_variable_is_told_of() -> None:
    pages = "".join((ROOT / "docs/how-to" / page).read_text() for page in ("compose.md", "metrics.md"))
    variables = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text()))
    assert len(variables) > len(SECRETS)
    assert sorted(variable for variable in variables if variable not in pages) == []
