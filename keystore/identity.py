"""Who holds a secret: for admin routes, and for holders whose secret has been replaced."""

from __future__ import annotations

from collections.abc import Callable

from gateway.v1 import keystore_pb2

from keystore.counters import Counters
from keystore.keys import Keys
from keystore.members import shown
from keystore.policy.access import blocked_refusal, key_refusal, no_key
from keystore.policy.owners import Key, Kind
from keystore.policy.standing import Standings
from keystore.secrets import Tokens, digest_of
from keystore.store import Store
from services.errors import GatewayError, Reason, unavailable
from services.methods import IDENTIFY, NEXT_SECRET
from services.transport import Handlers


class IdentityService:
    """Offers the RPCs of Keys that whoever holds a secret may ask. now_ms: the wall clock."""

    def __init__(
        self,
        *,
        store: Store,
        keys: Keys,
        standings: Standings,
        counters: Counters,
        tokens: Tokens,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._keys = keys
        self._standings = standings
        self._counters = counters
        self._tokens = tokens
        self._now_ms = now_ms

    @property
    def handlers(self) -> Handlers:
        """Each RPC's."""
        return {IDENTIFY: self.identify, NEXT_SECRET: self.next_secret}

    async def identify(self, request: keystore_pb2.IdentifyRequest) -> keystore_pb2.IdentifyResponse:
        """The key, and what its user is where. Refused as at admission: KEY_INVALID, KEY_BLOCKED, KEY_EXPIRED."""
        key = await self._admitted(self._tokens.token_of(request.digest))
        rows = [row for row in await self._store.keys.find([key.key_id]) if row.key.key_id == key.key_id]
        if not rows:  # it has gone this very moment
            raise no_key()
        directory = self._keys.directory
        user = directory.owner(Kind.USER, key.user_id) if key.user_id else None
        answer = keystore_pb2.IdentifyResponse(key=shown(rows[0], None))
        if user is None:
            return answer
        answer.role = user.role
        for membership in directory.memberships(key.user_id):
            is_admin = membership.role == "admin"
            if membership.kind is Kind.TEAM_MEMBER:
                answer.team_ids.append(membership.team_id)
                answer.admin_team_ids.extend([membership.team_id] if is_admin else [])
            else:
                answer.organization_ids.append(membership.organization_id)
                answer.admin_organization_ids.extend([membership.organization_id] if is_admin else [])
        return answer

    async def next_secret(self, request: keystore_pb2.NextSecretRequest) -> keystore_pb2.NextSecretResponse:
        """What has taken the place of a secret that is good for a while still. Refused as by `identify`; NOT_FOUND: it
        is the present one, or what came after it was made for somebody else."""
        token = self._tokens.token_of(request.digest)
        key = await self._admitted(token)
        secret = self._tokens.next_secret(token)
        if token != key.previous_token or self._tokens.token_of(digest_of(secret)) != key.token:
            raise GatewayError(Reason.ERROR_REASON_NOT_FOUND, "No secret has taken the place of this one.", param="key")
        return keystore_pb2.NextSecretResponse(secret=secret, previous_until_ms=key.previous_until_ms)

    async def _admitted(self, token: str) -> Key:
        """The key with this token, as an admission would find it now."""
        try:
            await self._keys.reach((await self._counters.decide([])).state.version)
        except GatewayError:
            await self._keys.read_feed()  # Redis is away: nobody tells of changes
        if not self._keys.good:
            raise unavailable("The keys cannot be read; try again.")
        key = self._keys.directory.key_by_token(token, self._now_ms())
        if key is None and not self._keys.is_absent(token):
            await self._keys.look_up(token)
            key = self._keys.directory.key_by_token(token, self._now_ms())
        refused = key_refusal(key, self._now_ms())
        if refused is not None:
            raise refused
        assert key is not None
        for blocked in self._standings.of(key).blocked:
            raise blocked_refusal(blocked)
        return key
