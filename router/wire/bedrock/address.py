"""Where Bedrock answers for a model, and what a model's name says of it."""

from __future__ import annotations

import re
from urllib.parse import quote

from router.catalog import Deployment

# What LiteLLM's names of models begin with, beside the model: the API, the region, a commitment that was bought.
_ROUTE = re.compile(r"(?:(?:converse|invoke)/|[a-z]{2}(?:-[a-z]+)+-\d+/|\d-month-commitment/)*")
# Inference profiles over several regions begin with the part of the world.
_WORLD = re.compile(r"(?:us-gov|us|eu|apac|jp|au|ca|global)\.")


def model_of(deployment: Deployment) -> str:
    """What Bedrock calls the model: an id, an inference profile's, or an ARN."""
    model = deployment.provider_model
    found = _ROUTE.match(model)
    return model[found.end() :] if found else model


def plain_model_of(deployment: Deployment) -> str:
    """The model alone, in lower case: `anthropic.claude-...`, without the part of the world; for tables of models.

    An ARN ends with it, unless it is of an application's own profile or of a model that was brought along.
    """
    model = model_of(deployment).rpartition("/")[2].lower()
    found = _WORLD.match(model)
    return model[found.end() :] if found else model


def url_of(deployment: Deployment, operation: str) -> str:
    """The address of an operation; colons and slashes of an ARN are part of one segment.

    The option `model_id` stands in for the model, whose name then only says what it can do.
    """
    model = deployment.options.get("model_id") or model_of(deployment)
    return f"{deployment.api_base}/model/{quote(model, safe='')}/{operation}"
