"""Which collections make up the index, and which of them are live."""

from sqlalchemy import func, insert, select

from advanced_rag.models.index import Generation
from advanced_rag.storage.database import Transaction
from advanced_rag.storage.tables import index_generations, now


class GenerationRepository:
    """The generations of the index, shared by all tenants."""

    def __init__(self, transaction: Transaction) -> None:
        self._connection = transaction.connection

    def live(self) -> dict[str, Generation]:
        """Return the live generation of each kind."""
        rows = self._connection.execute(select(index_generations).where(index_generations.c.state == "live"))
        return {row.kind: Generation(row.kind, row.number, row.encoder, row.dimension) for row in rows}

    def add_live(self, generation: Generation) -> None:
        """Store a new generation as the live one.

        It begins with the highest number there is: after a restore, numbers below it may be those of older collections.
        """
        highest = select(func.max(index_generations.c.number)).scalar_subquery()
        self._connection.execute(
            insert(index_generations).values(
                kind=generation.kind,
                number=func.coalesce(highest, generation.number),
                state="live",
                encoder=generation.encoder,
                dimension=generation.dimension,
                created_at=now(),
            )
        )
