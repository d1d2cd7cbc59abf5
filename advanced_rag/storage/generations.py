"""Which collections make up the index, and which of them are live.

At most one generation of a kind is live, and at most one is building: the database itself sees to that.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from advanced_rag.exceptions import ConflictError
from advanced_rag.models.index import Generation, GenerationState, StoredGeneration
from advanced_rag.storage.database import Transaction
from advanced_rag.storage.tables import index_generations, now


class GenerationRepository:
    """The generations of the index, shared by all tenants."""

    def __init__(self, transaction: Transaction) -> None:
        self._connection = transaction.connection

    def all(self) -> list[StoredGeneration]:
        """Return every generation, whatever its state."""
        ordered = select(index_generations).order_by(index_generations.c.kind, index_generations.c.number)
        return [_stored(row) for row in self._connection.execute(ordered)]

    def live(self) -> dict[str, Generation]:
        """Return the live generation of each kind."""
        return {item.generation.kind: item.generation for item in self.all() if item.state == "live"}

    def next_number(self, kind: str) -> int:
        """Return a number no generation of a kind has."""
        highest = select(func.max(index_generations.c.number)).where(index_generations.c.kind == kind)
        return int(self._connection.execute(highest).scalar_one() or 0) + 1

    def add_live(self, generation: Generation) -> None:
        """Store a new generation as the live one; raises ConflictError when there is one.

        It begins with the highest number there is: after a restore, numbers below it may be those of older collections.
        """
        highest = int(self._connection.execute(select(func.max(index_generations.c.number))).scalar_one() or 0)
        self._add(replace(generation, number=max(highest, generation.number)), "live")

    def add_building(self, generation: Generation) -> None:
        """Store a generation that is being filled; raises ConflictError when its kind has one."""
        self._add(generation, "building")

    def name_model(self, generation: Generation, model: str) -> None:
        """Write down what the settings call the encoder of a generation."""
        self._connection.execute(update(index_generations).where(_is(generation)).values(model=model))

    def switch(self, generations: Sequence[Generation]) -> None:
        """Make generations that are building live, and retire those that are; older retired ones go.

        Raises ConflictError when one of them is no longer building: then nothing is switched.
        """
        for generation in generations:
            self._move(generation.kind, "retired", "dropping")
            self._replace(generation, "building")

    def go_back(self, generations: Sequence[Generation]) -> None:
        """Make generations that are retired live again, and retire those that are; doing it again changes nothing.

        Raises ConflictError when one of them was given up: then nothing is changed.
        """
        for generation in generations:
            self._replace(generation, "retired")

    def give_up(self, generations: Sequence[Generation]) -> None:
        """Say that nobody uses generations any more, unless they are live."""
        for generation in generations:
            self._connection.execute(
                update(index_generations)
                .where(_is(generation), index_generations.c.state != "live")
                .values(_now("dropping"))
            )

    def give_up_building(self) -> bool:
        """Say that nobody goes on building what is being built; False when there is nothing."""
        building = update(index_generations).where(index_generations.c.state == "building")
        return self._connection.execute(building.values(_now("dropping"))).rowcount > 0

    def give_up_retired(self, older_than: timedelta) -> None:
        """Say of what was retired long ago that nobody uses it any more."""
        is_old = index_generations.c.changed_at < now() - older_than
        old = update(index_generations).where(index_generations.c.state == "retired", is_old)
        self._connection.execute(old.values(_now("dropping")))

    def claim_unused(self, since: timedelta) -> list[Generation]:
        """Take what nobody uses for so long, to drop it; for as long again nobody else is given it."""
        moment = now()
        unused = (index_generations.c.state == "dropping") & (index_generations.c.changed_at < moment - since)
        claimed = update(index_generations).where(unused).values(changed_at=moment).returning(*index_generations.c)
        return [_stored(row).generation for row in self._connection.execute(claimed)]

    def forget(self, generation: Generation) -> None:
        """Delete the row of a generation whose collection is gone."""
        self._connection.execute(delete(index_generations).where(_is(generation), index_generations.c.state == "dropping"))

    def _add(self, generation: Generation, state: GenerationState) -> None:
        self._connection.execute(
            insert(index_generations).values(
                kind=generation.kind,
                number=generation.number,
                encoder=generation.encoder,
                dimension=generation.dimension,
                model=generation.model,
                created_at=now(),
                **_now(state),
            )
        )

    def _replace(self, generation: Generation, was: GenerationState) -> None:
        self._move(generation.kind, "live", "retired")
        switched = update(index_generations).where(_is(generation), index_generations.c.state == was)
        if self._connection.execute(switched.values(_now("live"))).rowcount != 1:
            raise ConflictError(f"{generation.collection} is no longer {was}")

    def _move(self, kind: str, was: GenerationState, to: GenerationState) -> None:
        of_kind = (index_generations.c.kind == kind) & (index_generations.c.state == was)
        self._connection.execute(update(index_generations).where(of_kind).values(_now(to)))


def _is(generation: Generation) -> Any:
    return (index_generations.c.kind == generation.kind) & (index_generations.c.number == generation.number)


def _now(state: GenerationState) -> dict[str, Any]:
    return {"state": state, "changed_at": now()}


def _stored(row: Row[Any]) -> StoredGeneration:
    generation = Generation(row.kind, row.number, row.encoder, row.dimension, row.model)
    return StoredGeneration(generation, row.state, row.changed_at)
