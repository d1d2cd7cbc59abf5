"""Chat: find passages, answer from them with checked citations, remember the turn."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from advanced_rag.config import ChatSettings
from advanced_rag.exceptions import UnavailableError
from advanced_rag.llm.base import Question
from advanced_rag.llm.chain import FallbackChain
from advanced_rag.llm.citations import check_citations
from advanced_rag.llm.condense import condense
from advanced_rag.llm.extractive import ExtractiveAnswerer
from advanced_rag.models.chat import ChatAnswer, Citation, Lineage, Message, Source, Turn
from advanced_rag.models.filters import Filter
from advanced_rag.models.identity import Principal
from advanced_rag.models.quota import Consumption
from advanced_rag.models.retrieval import Degradation, RetrieveQuery, RetrieveResult
from advanced_rag.ranking.confidence import confidence
from advanced_rag.resilience.deadline import Deadline
from advanced_rag.services.quotas import QuotaService
from advanced_rag.services.retrieve import RetrieveService
from advanced_rag.services.sessions import SessionService
from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.logs import get_logger
from advanced_rag.telemetry.tracing import stage

REFUSAL = "I found no answer to this in the documents."
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
    """Answers questions, and has the conversations kept."""

    def __init__(
        self,
        sessions: SessionService,
        retrieval: RetrieveService,
        extractive: ExtractiveAnswerer,
        providers: FallbackChain | None,
        quotas: QuotaService,
        settings: ChatSettings,
    ) -> None:
        self._sessions = sessions
        self._retrieval = retrieval
        self._extractive = extractive
        self._providers = providers
        self._settings = settings
        self._quotas = quotas
        metrics.begin(metrics.DEGRADED, ["llm"])
        metrics.begin(metrics.CHAT_ANSWERED, ["true", "false"])

    async def answer(self, principal: Principal, question: ChatQuestion, deadline: Deadline) -> ChatAnswer:
        """Answer a question in one piece."""
        async with aclosing(self.stream(principal, question, deadline)) as events:
            async for event in events:
                if isinstance(event, ChatAnswer):
                    return event
        raise AssertionError("a stream ends with the answer")

    async def stream(self, principal: Principal, question: ChatQuestion, deadline: Deadline) -> AsyncGenerator[ChatEvent]:
        """Yield what was found, the answer as it grows, its citations, and last the whole of it, saved.

        Raises NotFoundError for a session that is not there, UnavailableError when nothing can be searched.
        """
        started = time.perf_counter()
        with stage("history"):
            history = await self._history(principal, question.session_id, deadline)
        result = await self._retrieve(principal, question, history, deadline)
        yield Retrieved(result)
        draft = _Draft(list(result.degraded))
        if self._is_answerable(question.message, result):
            asked = Question(
                question.message, result.hits, history[-self._settings.history_messages :], principal.cache_scope
            )
            with stage("answer", holds=False):
                async for text in self._speak(asked, draft):
                    yield Token(text)
        text, citations = check_citations(draft.text, result.hits)
        answered = bool(text)
        for citation in citations:
            yield citation
        metrics.CHAT_ANSWERED.labels(str(answered).lower()).inc()
        with stage("save"):
            lineage = self._lineage(result, draft)
            turn = Turn(question.message, text or REFUSAL, citations, answered, draft.provider, lineage)
            self._quotas.use(principal.tenant, Consumption(0, self._tokens(question, result, text)))
            session_id, message_id = await self._sessions.add_turn(principal, question.session_id, turn)
        timings = {**result.timings_ms, "total": round((time.perf_counter() - started) * 1000, 3)}
        yield ChatAnswer(session_id, message_id, turn.answer, answered, citations, draft.provider, draft.degraded, timings)

    def _tokens(self, question: ChatQuestion, result: RetrieveResult, text: str) -> int:
        """Return about how many tokens an answer took: question, passages and words, as the encoder counts them."""
        return sum(self._retrieval.count_tokens([question.message, text])) + sum(hit.chunk.tokens for hit in result.hits)

    def _lineage(self, result: RetrieveResult, draft: "_Draft") -> Lineage:
        sources = tuple(Source(hit.chunk.chunk_id, hit.chunk.document_id, hit.chunk.version) for hit in result.hits)
        return Lineage(
            sources=sources,
            collections=self._retrieval.collections,
            encoder=self._retrieval.encoder,
            provider=draft.provider,
            model=self._providers.models.get(draft.provider) if self._providers else None,
            settings={"chat": self._settings.model_dump(), "retrieval": self._retrieval.settings.model_dump()},
            degraded=tuple(item.component for item in draft.degraded),
        )

    async def _history(self, principal: Principal, session_id: str | None, deadline: Deadline) -> list[Message]:
        if session_id is None:
            return []
        return await self._sessions.recent(principal, session_id, max(self._settings.history_messages, 2), deadline)

    async def _retrieve(
        self, principal: Principal, question: ChatQuestion, history: list[Message], deadline: Deadline
    ) -> RetrieveResult:
        query = RetrieveQuery(
            query=condense(question.message, history),
            top_k=question.top_k or self._settings.passages,
            filters=question.filters,
            domain=question.domain,
        )
        return await self._retrieval.retrieve(principal, query, deadline)

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
