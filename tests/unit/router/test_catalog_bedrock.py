"""Deployments on Bedrock: what the model's name says of the wire, the region and the address."""

from __future__ import annotations

import pytest

from tests.unit.router.test_catalog import deployment_of


class TestBedrock:
    """A model's name may say by which API it is called, and where."""

    @pytest.mark.parametrize(
        ("model", "wire", "region"),
        [
            ("bedrock/anthropic.claude-x-v1:0", "bedrock", "us-west-2"),
            ("bedrock/eu.anthropic.claude-x-v1:0", "bedrock", "us-west-2"),
            ("bedrock/converse/us.amazon.nova-x", "bedrock", "us-west-2"),
            ("bedrock/invoke/anthropic.claude-x", "bedrock_invoke", "us-west-2"),
            ("bedrock/us-gov-west-1/anthropic.claude-x", "bedrock", "us-gov-west-1"),
            ("bedrock/invoke/ap-northeast-1/anthropic.claude-x", "bedrock_invoke", "ap-northeast-1"),
            ("bedrock/arn:aws:bedrock:eu-west-3:123456789012:inference-profile/x", "bedrock", "eu-west-3"),
        ],
    )
    def test_the_name_decides(self, model: str, wire: str, region: str) -> None:
        deployment = deployment_of(f"model: '{model}'")
        assert (deployment.wire, deployment.auth) == (wire, "aws")
        assert deployment.options["aws_region_name"] == region
        assert deployment.api_base == f"https://bedrock-runtime.{region}.amazonaws.com"
        assert "bedrock/" + deployment.provider_model == model

    def test_the_region_is_the_entrys_then_the_names_then_the_environments(self) -> None:
        environ = {"AWS_REGION_NAME": "eu-north-1", "AWS_REGION": "eu-south-1"}
        own = deployment_of("model: bedrock/us-east-1/x, aws_region_name: ca-central-1", environ=environ)
        assert own.options["aws_region_name"] == "ca-central-1"
        assert deployment_of("model: bedrock/us-east-1/x", environ=environ).options["aws_region_name"] == "us-east-1"
        assert deployment_of("model: bedrock/x", environ=environ).api_base.startswith(
            "https://bedrock-runtime.eu-north-1."
        )

    def test_another_address_needs_no_region(self) -> None:
        environ = {"AWS_BEDROCK_RUNTIME_ENDPOINT": "https://env.example/"}
        assert deployment_of("model: bedrock/x", environ=environ).api_base == "https://env.example"
        own = "model: bedrock/x, aws_bedrock_runtime_endpoint: https://own.example"
        assert deployment_of(own, environ=environ).api_base == "https://own.example"

    def test_credentials_of_the_entry_stay_out_of_the_repr_and_are_not_mixed_with_the_environments(self) -> None:
        """The signer reads the environment's three together: a token that belongs to another key would spoil it."""
        environ = {"AWS_SESSION_TOKEN": "env-token", "AWS_BEARER_TOKEN_BEDROCK": "b"}
        own = "model: bedrock/x, aws_access_key_id: own-id, aws_secret_access_key: own-secret"
        deployment = deployment_of(own, environ=environ)
        assert deployment.options["aws_access_key_id"] == "own-id"
        assert deployment.options["aws_secret_access_key"] == "own-secret"
        assert "aws_session_token" not in deployment.options
        assert deployment.api_key == "b"
        assert "own-secret" not in repr(deployment)
