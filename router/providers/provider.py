"""The providers that can be called, as data, and the names of those that cannot be yet."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

import msgspec

from router.providers.quirks import NONE, ModelQuirks, Quirks, quirks_for

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Option(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something else that a provider needs to know: a region, an account, a project.

    It is a member of `litellm_params` (`services.model_list.PROVIDER_OPTIONS`), or comes from the environment only.
    in_model: where a model's name says it, as a pattern with one group; variables: environment variables that stand in
    for it, the first that is set; default: when nobody says, with options that stand above it in braces.
    """

    in_model: str = ""
    variables: tuple[str, ...] = ()
    default: str = ""

    def stated_by(self, model: str) -> str:
        """What a model's name says of it; empty when it says nothing."""
        found = re.search(self.in_model, model) if self.in_model else None
        return found[1] if found else ""


class Surface(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another way into the same host, for deployments that fit every pattern.

    base: searched for in `api_base`; model: matched by the model's whole name, its named groups fill in the path;
    api_version: matched by the whole option. path, auth: as a provider's; auth empty: the provider's own.
    """

    path: str
    base: str = ""
    model: str = ".*"
    api_version: str = ".*"
    auth: str = ""


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An operation that a host offers beside chat.

    wire: its language, of `router.wire.WHOLE_WIRES`; wires: that of models whose names begin like this. path: after the
    host's `api_base`; empty: where chat's is, with the operation's name in the place of chat's. quirks: as a
    provider's, for this operation.
    """

    wire: str = "openai"
    wires: Mapping[str, str] = {}
    path: str = ""
    quirks: Quirks = NONE

    def wire_of(self, model: str) -> str:
        """The language in which the host is asked for a model."""
        return _longest_fitting(self.wires, model, self.wire)


# What a signer (`router.credentials`) reads of `litellm_params`: every provider with that `auth` has these options,
# whatever its row says. Their environment variables are the signer's own to read: some count only together.
SIGNER_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "aws": (
            "aws_access_key_id",
            "aws_secret_access_key",
            "aws_session_token",
            "aws_profile_name",
            "aws_role_name",
            "aws_session_name",
            "aws_external_id",
            "aws_web_identity_token",
            "aws_sts_endpoint",
        ),
        "google": ("vertex_credentials",),
        "azure": ("azure_ad_token", "tenant_id", "client_id", "client_secret", "azure_scope"),
        "ibm": ("token", "zen_api_key"),
    }
)


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host, and how it is reached: a row of providers.toml, under its name.

    wire: the language in which it chats, of `router.wire.WIRES`; empty: it does not; wires: that of models whose names
    begin like this. embeddings, rerank: what it offers beside chat; None: it does not. api_base: where it is, with
    options in braces (`https://{region}.example.com`); empty: every deployment must say. api_base_variables,
    api_key_variables: environment variables that stand in for `api_base` and `api_key`; of several the first that is
    set. path: of chat completions, after `api_base`, with options and `{model}` in braces; an `api_base` that ends with
    it is a whole address. surfaces: the first that fits wins over `path`. auth: where the key goes: `bearer`, `azure`,
    `header:NAME` or `query:NAME`; or the name of a signer (`router.credentials`). headers: sent with every request,
    with options in braces; one whose option nobody gives is left out. options: by their names in `litellm_params`.
    names: how a model is called there: patterns of what configurations write, and what is sent for them; the first that
    matches the whole name wins. quirks, model_quirks: `providers/quirks.py`. priced_as: its name in the bundled price
    table; empty: a server of one's own, which has no list price. recorded: its row is held to recorded traffic.
    """

    name: str
    wire: str = "openai"
    wires: Mapping[str, str] = {}
    embeddings: Offer | None = None
    rerank: Offer | None = None
    api_base: str = ""
    api_base_variables: tuple[str, ...] = ()
    api_key_variables: tuple[str, ...] = ()
    path: str = "/chat/completions"
    surfaces: tuple[Surface, ...] = ()
    auth: str = "bearer"
    headers: Mapping[str, str] = {}
    options: Mapping[str, Option] = {}
    names: Mapping[str, str] = {}
    quirks: Quirks = NONE
    model_quirks: tuple[ModelQuirks, ...] = ()
    priced_as: str = ""
    recorded: bool = False

    def wire_of(self, model: str) -> str:
        """The language in which it is asked for a model: of the beginnings that fit, the longest decides."""
        return _longest_fitting(self.wires, model, self.wire)

    def name_of(self, model: str) -> str:
        """What it calls a model that a configuration names."""
        for pattern, sent in self.names.items():
            found = re.fullmatch(pattern, model)
            if found is not None:
                return found.expand(sent)
        return model

    def quirks_of(self, *models: str, api_base: str = "") -> Quirks | None:
        """How it departs from OpenAI's language for a model, by any of its names; None when it does not.

        api_base: where that is; the provider's own address when empty.
        """
        return quirks_for(self.quirks, self.model_quirks, models, api_base or self.api_base)


def _longest_fitting(wires: Mapping[str, str], model: str, otherwise: str) -> str:
    fitting = [beginning for beginning in wires if model.startswith(beginning)]
    return wires[max(fitting, key=len)] if fitting else otherwise


def load_providers() -> Mapping[str, Provider]:
    """The rows that the project ships. msgspec.ValidationError for a row that cannot be meant."""
    rows = tomllib.loads((files(__package__) / "providers.toml").read_text())
    return MappingProxyType({name: msgspec.convert({"name": name, **row}, Provider) for name, row in rows.items()})


PROVIDERS: Mapping[str, Provider] = load_providers()


def filled_in(api_base: str, options: Mapping[str, str]) -> str:
    """An address with its options in place. KeyError names one that is not given."""
    return _PLACEHOLDER.sub(lambda found: options[found[1]], api_base)


# Names that a file written for LiteLLM may use. A deployment of theirs is left out with a warning, so that the rest of
# the file works; any other name is a mistake.
NOT_SERVED_YET = frozenset(
    """
    a2a a2a_agent anthropic_text auto_router aws_polly aws_textract azure_speech azure_text black_forest_labs bytez
    chatgpt cursor custom deepgram dotprompt elevenlabs fal_ai gdc gigachat github_copilot humanloop
    langflow langfuse langgraph litellm_agent manus milvus mongodb nlp_cloud nvidia_riva oci petals
    pg_vector predibase recraft reducto runwayml s3_vectors sap
    soniox stability strands_decider text-completion-codestral text-completion-inception text-completion-openai
    topaz transcribe triton typesafe valkey vllm watsonx_text
    """.split()  # noqa: SIM905  a column of words reads and merges better than 170 quotes
)


def near_names(name: str) -> list[str]:
    """At most three known names that look like this one."""
    return difflib.get_close_matches(name.lower(), [*PROVIDERS, *sorted(NOT_SERVED_YET)], n=3)
