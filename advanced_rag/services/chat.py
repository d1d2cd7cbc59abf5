"""Chat: find passages, answer from them with checked citations, remember the turn."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from advanced_rag.config import ChatSettings
from advanced_rag.exceptions import NotFoundError, UnavailableError
from advanced_rag.llm.base import Question
from advanced_rag.llm.citations import check_citations
from advanced_rag.llm.condense import condense
from advanced_rag.llm.extractive import ExtractiveAnswerer
from advanced_rag.llm.openai_compatible import FallbackChain
from advanced_rag.models.chat import ChatAnswer, Citation, Message, Session
from advanced_rag.models.documents import Page, TenantId
from advanced_rag.models.filters import Filter
from advanced_rag.models.retrieval import Degradation, RetrieveQuery, RetrieveResult
from advanced_rag.ranking.confidence import confidence
from advanced_rag.resilience.deadline import Deadline
from advanced_rag.services.retrieve import RetrieveService
from advanced_rag.services.sql import Sql
from advanced_rag.storage.database import TenantTransaction
from advanced_rag.storage.sessions import SessionRepository
from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.logs import get_logger
from advanced_rag.telemetry.tracing import stage

REFUSAL = "I found no answer to this in the documents."
LOCAL_USER = "local"
_TITLE_CHARS = 80
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChatQuestion:
    """One turn of a conversation, as it is asked."""

    message: str
    session_id: str | None = None
    top_k: int | None = None
    filters: Filter | None = None
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The passages were found."""

    result: RetrieveResult


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer."""

    text: str


ChatEvent = Retrieved | Token | Citation | ChatAnswer


class ChatService:
    """Answers questions and keeps conversations."""

    def __init__(
        self,
        database: Sql,
        retrieval: RetrieveService,
        extractive: ExtractiveAnswerer,
        providers: FallbackChain | None,
        settings: ChatSettings,
    ) -> None:
        self._database = database
        self._retrieval = retrieval
        self._extractive = extractive
        self._providers = providers
        self._settings = settings
        metrics.begin(metrics.DEGRADED, ["llm"])
        metrics.begin(metrics.CHAT_ANSWERED, ["true", "false"])

    async def answer(self, tenant: TenantId, question: ChatQuestion, deadline: Deadline) -> ChatAnswer:
        """Answer a question in one piece."""
        async with aclosing(self.stream(tenant, question, deadline)) as events:
            async for event in events:
                if isinstance(event, ChatAnswer):
                    return event
        raise AssertionError("a stream ends with the answer")

    async def stream(self, tenant: TenantId, question: ChatQuestion, deadline: Deadline) -> AsyncGenerator[ChatEvent]:
        """Yield what was found, the answer as it grows, its citations, and last the whole of it, saved.

        Raises NotFoundError for a session that is not there, UnavailableError when nothing can be searched.
        """
        started = time.perf_counter()
        with stage("history"):
            history = await self._history(tenant, question.session_id, deadline)
        result = await self._retrieve(tenant, question, history, deadline)
        yield Retrieved(result)
        draft = _Draft(list(result.degraded))
        if self._is_answerable(question.message, result):
            asked = Question(question.message, result.hits, history[-self._settings.history_messages :])
            with stage("answer", holds=False):
                async for text in self._speak(asked, draft):
                    yield Token(text)
        text, citations = check_citations(draft.text, result.hits)
        answered = bool(text)
        for citation in citations:
            yield citation
        metrics.CHAT_ANSWERED.labels(str(answered).lower()).inc()
        with stage("save"):
            session_id, message_id = await self._save(tenant, question, text or REFUSAL, citations, answered, draft.provider)
        timings = {**result.timings_ms, "total": round((time.perf_counter() - started) * 1000, 3)}
        yield ChatAnswer(
            session_id, message_id, text or REFUSAL, answered, citations, draft.provider, draft.degraded, timings
        )

    async def _history(self, tenant: TenantId, session_id: str | None, deadline: Deadline) -> list[Message]:
        if session_id is None:
            return []
        await self.session(tenant, session_id, deadline)
        limit = max(self._settings.history_messages, 2)
        return await self._database.read(tenant, lambda c: SessionRepository(c).recent(session_id, limit), deadline)

    async def _retrieve(
        self, tenant: TenantId, question: ChatQuestion, history: list[Message], deadline: Deadline
    ) -> RetrieveResult:
        query = RetrieveQuery(
            query=condense(question.message, history),
            top_k=question.top_k or self._settings.passages,
            filters=question.filters,
            domain=question.domain,
        )
        return await self._retrieval.retrieve(tenant, query, deadline)

    def _is_answerable(self, message: str, result: RetrieveResult) -> bool:
        similarity = max((hit.legs["semantic"].score for hit in result.hits if "semantic" in hit.legs), default=0.0)
        texts = [hit.chunk.text for hit in result.hits]
        return bool(texts) and confidence(message, texts, similarity) >= self._settings.min_confidence

    async def _speak(self, question: Question, draft: "_Draft") -> AsyncIterator[str]:
        if self._providers is not None:
            try:
                async for part in self._providers.stream(question, draft.spoken_by):
                    yield draft.add(part)
            except UnavailableError as error:
                draft.degraded.append(Degradation("llm", error.code))
                metrics.DEGRADED.labels("llm").inc()
                _log.warning("degraded", component="llm", code=error.code)
            if draft.text:
                return
        draft.spoken_by(self._extractive.name)
        async for part in self._extractive.stream(question):
            yield draft.add(part)

    async def _save(
        self,
        tenant: TenantId,
        question: ChatQuestion,
        text: str,
        citations: tuple[Citation, ...],
        answered: bool,  # noqa: FBT001 - private
        provider: str,
    ) -> tuple[str, str]:
        def save(transaction: TenantTransaction) -> tuple[str, str]:
            repository = SessionRepository(transaction)
            if question.session_id is None:
                session = repository.create(LOCAL_USER, question.message[:_TITLE_CHARS])
            else:
                session = _found(repository.get(question.session_id, lock=True))
            message_id = repository.add_turn(
                session.id, question.message, text, citations=citations, answered=answered, provider=provider
            )
            return session.id, message_id

        return await self._database.write(tenant, save)

    async def create_session(self, tenant: TenantId, title: str) -> Session:
        """Open an empty session."""
        return await self._database.write(tenant, lambda c: SessionRepository(c).create(LOCAL_USER, title))

    async def session(self, tenant: TenantId, session_id: str, deadline: Deadline | None = None) -> Session:
        """Return a session; raises NotFoundError."""
        return _found(await self._database.read(tenant, lambda c: SessionRepository(c).get(session_id), deadline))

    async def sessions(self, tenant: TenantId, limit: int, cursor: str | None) -> Page[Session]:
        """List sessions, newest first."""
        return await self._database.read(tenant, lambda c: SessionRepository(c).page(LOCAL_USER, limit, cursor))

    async def messages(self, tenant: TenantId, session_id: str, limit: int, cursor: str | None) -> Page[Message]:
        """List the messages of a session, oldest first; raises NotFoundError."""
        await self.session(tenant, session_id)
        return await self._database.read(tenant, lambda c: SessionRepository(c).history(session_id, limit, cursor))

    async def rename_session(self, tenant: TenantId, session_id: str, title: str) -> Session:
        """Change the title of a session; raises NotFoundError."""
        return _found(await self._database.write(tenant, lambda c: SessionRepository(c).rename(session_id, title)))

    async def delete_session(self, tenant: TenantId, session_id: str) -> None:
        """Delete a session with all its messages; raises NotFoundError."""
        if not await self._database.write(tenant, lambda c: SessionRepository(c).remove(session_id)):
            raise NotFoundError("no such session")

    async def add_feedback(self, tenant: TenantId, message_id: str, rating: int, comment: str | None) -> str:
        """Keep what somebody thinks of an answer; raises NotFoundError."""
        feedback_id = await self._database.write(
            tenant, lambda c: SessionRepository(c).add_feedback(message_id, rating, comment)
        )
        if feedback_id is None:
            raise NotFoundError("no such message")
        return feedback_id


class _Draft:
    """An answer while it grows."""

    def __init__(self, degraded: list[Degradation]) -> None:
        self.text = ""
        self.provider = ExtractiveAnswerer.name
        self.degraded = degraded

    def add(self, part: str) -> str:
        self.text += part
        return part

    def spoken_by(self, provider: str) -> None:
        self.provider = provider


def _found(session: Session | None) -> Session:
    if session is None:
        raise NotFoundError("no such session")
    return session
