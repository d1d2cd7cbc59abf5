"""Legal holds, and forgetting."""

from datetime import datetime
from typing import Self

from pydantic import ConfigDict, model_validator

from advanced_rag.api.schemas.base import Answer, Name, Schema
from advanced_rag.models.holds import ForgetKind, HoldKind


class HoldRequest(Schema):
    """What must not be deleted, and why; a hold of the whole tenant names nothing else."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "document", "target": "handbook", "reason": "case 7"}]}
    )

    kind: HoldKind
    target: Name | None = None
    reason: Name

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.target is None) != (self.kind == "tenant"):
            raise ValueError("name the document or the user; a hold of the tenant names nothing")
        return self


class HoldOut(Answer):
    """A legal hold."""

    id: str
    kind: HoldKind
    target: str
    reason: str
    created_by: str
    created_at: datetime
    released_at: datetime | None


class HoldList(Answer):
    """The newest thousand holds."""

    holds: list[HoldOut]


class ForgetRequest(Schema):
    """What is to be forgotten: a document or a user, by id."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"kind": "document", "target": "handbook"}]})

    kind: ForgetKind
    target: Name


class ReceiptOut(Answer):
    """How much was removed, by kind, and how much was left when the stores were asked afterwards; signed.

    null: a store did not answer; what it may still have is queued to be purged, and nobody finds it meanwhile.
    """

    id: str
    kind: ForgetKind
    target: str
    forgotten_by: str
    at: datetime
    removed: dict[str, int]
    left: dict[str, int | None]
    digest: str


class ReceiptList(Answer):
    """The newest thousand receipts of a period."""

    receipts: list[ReceiptOut]
