"""Tickets: what a browser puts into the address of a WebSocket in place of its key."""

import hashlib
import hmac
import secrets
from datetime import timedelta

from advanced_rag.exceptions import CredentialsError
from advanced_rag.models.identity import Principal
from advanced_rag.services.sql import Sql
from advanced_rag.storage.tables import now
from advanced_rag.storage.tickets import TicketBox, TicketRepository

LIFETIME_S = 60


class TicketService:
    """Issues tickets and takes them, each once."""

    def __init__(self, database: Sql, secret: bytes) -> None:
        self._database = database
        self._secret = secret

    async def issue(self, principal: Principal) -> str:
        """Return a ticket that stands for somebody for a minute."""
        ticket = secrets.token_urlsafe(32)
        expires_at = now() + timedelta(seconds=LIFETIME_S)
        await self._database.write(
            principal.tenant, lambda t: TicketRepository(t).add(self._digest(ticket), principal, expires_at)
        )
        return ticket

    async def take(self, ticket: str) -> Principal:
        """Return whom a ticket stands for; raises CredentialsError for one that is unknown, old, or was taken before."""
        principal = await self._database.write_across(lambda t: TicketBox(t).take(self._digest(ticket)))
        if principal is None:
            raise CredentialsError("the ticket is not good, or was used")
        return principal

    def _digest(self, ticket: str) -> str:
        return hmac.digest(self._secret, ticket.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()
