"""Who may make a call at all, and in which words he is told that he may not: LiteLLM's, as they were captured."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.v1 import common_pb2

from keystore.policy.access import ROUTES, call_refusal, key_refusal
from keystore.policy.defaults import Defaults
from keystore.policy.owners import Directory, Key, Kind, Owner, member_id
from keystore.policy.standing import Standings
from keystore.policy.terms import Terms
from services.errors import GatewayError, Reason
from tests.golden import Golden

KEY = Key("id", "token", "sk-...abcd")
CHAT = common_pb2.OPERATION_CHAT_COMPLETIONS


def key_with(**members: Any) -> Key:
    return Key("id", "token", "sk-...abcd", **members)


def refused(
    key: Key,
    *owners: Owner,
    model: str = "m",
    end_user_id: str = "",
    operation: int = CHAT,
    defaults: Defaults | None = None,
) -> GatewayError | None:
    directory = Directory()
    for owner in owners:
        directory.put_owner(owner)
    standings = Standings(directory, defaults or Defaults())
    customer = directory.owner(Kind.CUSTOMER, end_user_id) if end_user_id else None
    rule = standings.rule_of_customer(end_user_id)
    return call_refusal(key, standings.of(key), customer, rule, model, operation)


def reason_of(error: GatewayError | None) -> Any:
    return error.reason if error is not None else None


class TestKeys:
    """Whether a key may be used for anything."""

    @pytest.mark.parametrize("key", [KEY, key_with(expires_ms=6), key_with(terms=Terms(("other",)))])
    def test_a_key_that_is_there_may_be_used(self, key: Key) -> None:
        assert key_refusal(key, 5) is None

    @pytest.mark.parametrize(
        ("key", "reason", "param"),
        [
            (None, Reason.ERROR_REASON_KEY_INVALID, "key"),
            # In LiteLLM's order: blocked, then expired.
            (key_with(blocked=True, expires_ms=5), Reason.ERROR_REASON_KEY_BLOCKED, "None"),
            (key_with(expires_ms=5), Reason.ERROR_REASON_KEY_EXPIRED, "sk-...abcd"),
            (key_with(expires_ms=1), Reason.ERROR_REASON_KEY_EXPIRED, "sk-...abcd"),
        ],
    )
    def test_one_that_is_gone_blocked_or_expired_may_not(self, key: Key | None, reason: int, param: str) -> None:
        error = key_refusal(key, 5)
        assert error is not None
        assert (error.reason, error.param) == (reason, param)

    def test_an_expired_key_says_when_and_now(self) -> None:
        error = key_refusal(key_with(expires_ms=1_795_332_870_174), 1_795_332_872_720)
        assert error is not None
        assert error.message == (
            "Authentication Error - Expired Key. Key Expiry time 2026-11-22 07:34:30.174000+00:00 "
            "and current time 2026-11-22 07:34:32.720000+00:00"
        )

    def test_a_blocked_key_is_told_in_litellm_s_words(self, golden: Golden) -> None:
        error = key_refusal(key_with(blocked=True), 5)
        assert error is not None
        assert error.message == golden("err_blocked_key")["error"]["message"]


class TestModels:
    """Everybody's list counts, and the type of the refusal says whose it was."""

    def test_without_lists_every_model_may_be_called(self) -> None:
        assert refused(key_with(team_id="t", user_id="u"), Owner(Kind.TEAM, "t"), Owner(Kind.USER, "u")) is None

    @pytest.mark.parametrize(
        ("name", "key", "owners", "model"),
        [
            ("access_group_denied", key_with(terms=Terms(("grouped",))), [], "free"),
            ("err_team_model", key_with(team_id="t"), [Owner(Kind.TEAM, "t", Terms(("free",)))], "claude"),
        ],
    )
    def test_a_model_that_is_not_allowed_is_told_as_litellm_does(
        self, golden: Golden, name: str, key: Key, owners: list[Owner], model: str
    ) -> None:
        error = refused(key, *owners, model=model)
        captured = golden(name)["error"]
        assert error is not None
        assert error.message == captured["message"]
        assert error.param == captured["param"]

    @pytest.mark.parametrize(
        ("key", "owner", "reason"),
        [
            (key_with(terms=Terms(("a",))), None, Reason.ERROR_REASON_MODEL_NOT_ALLOWED),
            (
                key_with(team_id="t"),
                Owner(Kind.TEAM, "t", Terms(("a",))),
                Reason.ERROR_REASON_TEAM_MODEL_NOT_ALLOWED,
            ),
            (
                key_with(user_id="u"),
                Owner(Kind.USER, "u", Terms(("a",))),
                Reason.ERROR_REASON_USER_MODEL_NOT_ALLOWED,
            ),
            (
                key_with(organization_id="o"),
                Owner(Kind.ORGANIZATION, "o", Terms(("a",))),
                Reason.ERROR_REASON_ORGANIZATION_MODEL_NOT_ALLOWED,
            ),
            (
                key_with(team_id="t", user_id="u"),
                Owner(Kind.TEAM_MEMBER, member_id("t", "u"), Terms(("a",)), user_id="u", team_id="t"),
                Reason.ERROR_REASON_TEAM_MODEL_NOT_ALLOWED,
            ),
            (KEY, Owner(Kind.CUSTOMER, "c", Terms(("a",))), Reason.ERROR_REASON_CUSTOMER_MODEL_NOT_ALLOWED),
        ],
    )
    def test_the_reason_says_whose_list_it_was(self, key: Key, owner: Owner | None, reason: int) -> None:
        owners = [owner] if owner is not None else []
        assert reason_of(refused(key, *owners, model="m", end_user_id="c")) == reason
        assert refused(key, *owners, model="a", end_user_id="c") is None

    def test_a_key_cannot_have_more_than_its_team_and_its_organisation(self) -> None:
        owners = (
            Owner(Kind.TEAM, "t", Terms(("a", "b")), organization_id="o"),
            Owner(Kind.ORGANIZATION, "o", Terms(("a", "c"))),
        )
        key = key_with(team_id="t", terms=Terms(("a", "b", "c")))
        allowed = [model for model in "abc" if refused(key, *owners, model=model) is None]
        assert allowed == ["a"]

    @pytest.mark.parametrize("word", ["all-team-models", "all-proxy-models", "*"])
    def test_a_key_for_all_models_is_held_to_its_team_s(self, word: str) -> None:
        key, team = key_with(team_id="t", terms=Terms((word,))), Owner(Kind.TEAM, "t", Terms(("a",)))
        assert refused(key, team, model="a") is None
        assert reason_of(refused(key, team, model="b")) == Reason.ERROR_REASON_TEAM_MODEL_NOT_ALLOWED

    @pytest.mark.parametrize(
        ("models", "allowed"),
        [(("openai/*",), True), (("group",), True), (("all-proxy-models",), True), (("no-default-models",), False)],
    )
    def test_a_customer_s_list_is_read_as_a_key_s(self, models: tuple[str, ...], allowed: bool) -> None:
        group = Owner(Kind.ACCESS_GROUP, "group", Terms(("openai/a",)))
        error = refused(KEY, group, Owner(Kind.CUSTOMER, "c", Terms(models)), model="openai/a", end_user_id="c")
        assert (error is None) == allowed

    def test_a_user_s_list_is_not_for_calls_with_keys_of_a_team_unless_he_pays_for_them(self) -> None:
        key, owners = key_with(user_id="u", team_id="t"), (Owner(Kind.USER, "u", Terms(("a",))), Owner(Kind.TEAM, "t"))
        assert refused(key, *owners, model="m") is None
        pays = Defaults(user_pays_for_team_keys=True)
        error = refused(key, *owners, model="m", defaults=pays)
        assert reason_of(error) == Reason.ERROR_REASON_USER_MODEL_NOT_ALLOWED


class TestBlocks:
    """Whoever is blocked takes all calls that are counted to him with him."""

    @pytest.mark.parametrize(
        ("owner", "text"),
        [
            (Owner(Kind.TEAM, "t", blocked=True), "Team=t"),
            (Owner(Kind.USER, "u", blocked=True), "User=u"),
            (
                Owner(Kind.TEAM_MEMBER, "t/u", blocked=True, user_id="u", team_id="t"),
                "TeamMember=t/u",
            ),
            (Owner(Kind.ORGANIZATION, "o", blocked=True), "Organization=o"),
            (Owner(Kind.CUSTOMER, "c", blocked=True), "End User=c"),
        ],
    )
    def test_it_says_who_is_blocked(self, owner: Owner, text: str) -> None:
        key = key_with(team_id="t", user_id="u", organization_id="o")
        error = refused(key, owner, end_user_id="c")
        assert error is not None
        assert (error.reason, error.param) == (Reason.ERROR_REASON_KEY_BLOCKED, "None")
        assert error.message.startswith(f"Authentication Error, {text} is blocked. ")

    def test_a_blocked_team_is_told_in_litellm_s_words(self, golden: Golden) -> None:
        message = golden("err_team_blocked")["error"]["message"]
        team_id = message.partition("Team=")[2].partition(" ")[0]
        error = refused(key_with(team_id=team_id), Owner(Kind.TEAM, team_id, blocked=True))
        assert error is not None
        assert error.message == message

    def test_the_organisation_of_a_key_s_team_may_be_blocked(self) -> None:
        owners = (Owner(Kind.TEAM, "t", organization_id="o"), Owner(Kind.ORGANIZATION, "o", blocked=True))
        assert reason_of(refused(key_with(team_id="t"), *owners)) == Reason.ERROR_REASON_KEY_BLOCKED

    def test_a_block_comes_before_the_model_as_with_litellm(self) -> None:
        team = Owner(Kind.TEAM, "t", Terms(("a",)), blocked=True)
        assert reason_of(refused(key_with(team_id="t"), team)) == Reason.ERROR_REASON_KEY_BLOCKED

    def test_somebody_else_s_block_is_nobody_s(self) -> None:
        blocked = [Owner(kind, name, blocked=True) for kind in Kind for name in ("t", "u", "o", "c")]
        others = key_with(team_id="t2", user_id="u2", organization_id="o2")
        assert refused(others, *blocked, end_user_id="c2") is None


class TestRoutes:
    """What a key may be used for."""

    def test_a_route_that_is_not_allowed_is_told_in_litellm_s_words(self, golden: Golden) -> None:
        error = refused(key_with(allowed_routes=("/v1/embeddings",)))
        assert error is not None
        assert error.reason == Reason.ERROR_REASON_ROUTE_NOT_ALLOWED
        assert error.message == golden("err_route_denied")["detail"]

    @pytest.mark.parametrize(
        ("allowed", "routes"),
        [
            ((), set(ROUTES)),
            (("llm_api_routes",), set(ROUTES)),
            (("*",), set(ROUTES)),
            (("/*",), set(ROUTES)),
            (("/v1/*",), set(ROUTES)),
            (("/v1/chat/completions",), {CHAT}),
            (("/chat/completions",), {CHAT}),
            (("/chat/*", "/rerank"), {CHAT, common_pb2.OPERATION_RERANK}),
            (("/v1/embeddings",), {common_pb2.OPERATION_EMBEDDINGS}),
            (("management_routes", "info_routes"), set()),
            (("",), set()),
            (("/chat",), set()),
            (("/v1/chat/completions/",), set()),
            (("/CHAT/completions",), set()),
            (("chat/completions",), set()),
        ],
    )
    def test_a_key_is_for_the_routes_that_it_lists(self, allowed: tuple[str, ...], routes: set[int]) -> None:
        key = key_with(allowed_routes=allowed)
        assert {operation for operation in ROUTES if refused(key, operation=operation) is None} == routes

    def test_an_operation_that_has_no_path_yet_is_in_no_list_of_paths(self) -> None:
        assert refused(key_with(allowed_routes=("/v1/chat/completions",)), operation=999) is not None
