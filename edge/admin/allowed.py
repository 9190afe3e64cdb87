"""Which models a key may call, as far as lists of models say: its own, its team's or user's, its organisation's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.v1 import common_pb2, keystore_pb2

from edge.admin.owners import ORGANIZATION, TEAM, TEAM_MEMBER, USER, Owners, member_id
from edge.admin.rights import with_budget
from edge.exchange import Routers
from services.allowed_models import Allowed, Groups, compiled, merged


@dataclass(frozen=True, slots=True)
class KeyModels:
    """All lists must allow a model. aliases: names that stand for models, for this key."""

    lists: tuple[Allowed, ...]
    aliases: Mapping[str, str]

    def allows(self, model: str) -> bool:
        """Whether the key may call it, by this name."""
        target = self.aliases.get(model, model)
        return all(each.allows(target) for each in self.lists)


class AllowedModels:
    """Asks the keystore for owners and groups; groups that deployments name are the catalog's."""

    def __init__(self, owners: Owners, routers: Routers) -> None:
        self._owners = owners
        self._routers = routers

    @property
    def catalog(self) -> Mapping[str, common_pb2.CatalogModel]:
        """What routers serve and callers may see."""
        return {name: model for name, model in self._routers.models.items() if not model.hidden}

    async def groups(self, *lists: Iterable[str]) -> Groups:
        """What the names in these lists stand for that are names of groups of models."""
        served: dict[str, set[str]] = {}
        for name, model in self._routers.models.items():
            for group in model.access_groups:
                served.setdefault(group, set()).add(name)
        owned = await self._owners.groups_of(*lists)
        return merged({name: frozenset(models) for name, models in served.items()}, owned)

    async def of(self, key: keystore_pb2.Key) -> KeyModels:
        """What a key may call."""
        teams, users, members = await asyncio.gather(
            self._owners.named(TEAM, [key.team_id]),
            self._owners.named(USER, [] if key.team_id else [key.user_id]),
            self._owners.named(TEAM_MEMBER, [member_id(key.team_id, key.user_id)] if key.team_id else []),
        )
        team = teams.get(key.team_id)
        organization_id = key.organization_id or (team.organization_id if team is not None else "")
        organizations = await self._owners.named(ORGANIZATION, [organization_id])
        owners = [*teams.values(), *users.values(), *members.values(), *organizations.values()]
        if team is not None and not any(owner.terms.models for owner in members.values()):
            owners.append(keystore_pb2.Owner(terms=team.member_terms))
        terms = [key.terms, *(owner.terms for owner in owners)]
        budgets = await self._owners.budgets_of(terms)
        lists = [list(with_budget(each, budgets).models) for each in terms]
        groups = await self.groups(*lists)
        aliases = {**(team.aliases if team is not None else {}), **key.aliases}
        return KeyModels(tuple(compiled(each, groups) for each in lists), aliases)
