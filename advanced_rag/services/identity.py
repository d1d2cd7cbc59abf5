"""Who carries this? An API key, a token made here, or one of the identity provider."""

from collections.abc import Mapping

from advanced_rag.auth.tokens import Claims, OwnTokens, TokenVerifier, is_own
from advanced_rag.exceptions import CredentialsError
from advanced_rag.models.identity import SCOPES, Principal
from advanced_rag.services.keys import KEY_MARK, KeyService
from advanced_rag.services.tenants import TenantService
from advanced_rag.services.users import UserService


class Authenticator:
    """Proves identities; ``roles`` says which scopes a role stands for."""

    def __init__(
        self,
        keys: KeyService,
        users: UserService,
        tenants: TenantService,
        own_tokens: OwnTokens,
        verifier: TokenVerifier | None,
        roles: Mapping[str, frozenset[str]],
    ) -> None:
        self._keys = keys
        self._users = users
        self._tenants = tenants
        self._own_tokens = own_tokens
        self._verifier = verifier
        self._roles = roles

    async def authenticate(self, credentials: str) -> Principal:
        """Return who carries some credentials; raises CredentialsError, ForbiddenError, UnavailableError."""
        if credentials.startswith(KEY_MARK):
            return await self._keys.authenticate(credentials)
        if is_own(credentials):
            return await self._users.principal(await self._own_tokens.verify(credentials))
        if self._verifier is None:
            raise CredentialsError("not a key of this service")
        return await self._principal(await self._verifier.verify(credentials))

    async def standing(self, principal: Principal) -> object:
        """Return what somebody's identity is worth, as of the last few seconds: what outlives a request asks again.

        Another value is another identity. Raises CredentialsError, ForbiddenError, UnavailableError.
        """
        if principal.credential is None:  # a token of the identity provider, which tells nobody that it was taken back
            return await self._tenants.active(principal.tenant)
        if principal.credential == principal.user_id:
            return await self._users.standing(principal.user_id)
        return await self._keys.standing(principal.credential)

    def recall(self, credentials: str) -> Principal | None:
        """Return whose key this was some minutes ago, for what must answer although the database does not."""
        return self._keys.recall(credentials)

    async def _principal(self, claims: Claims) -> Principal:
        tenant = await self._tenants.active(claims.tenant)
        granted = frozenset[str]().union(*(self._roles.get(role, frozenset()) for role in claims.roles))
        return Principal(tenant, claims.user_id, granted | (claims.scopes & SCOPES), claims.groups)
