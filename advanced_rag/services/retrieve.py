"""Retrieval: guarded searches side by side, fused, read back from SQL, reranked, diversified."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from advanced_rag.config import FeatureSettings, RetrievalSettings
from advanced_rag.exceptions import (
    EncoderMissingError,
    FeatureDisabledError,
    FieldError,
    OverloadedError,
    RagError,
    UnavailableError,
    UnknownDomainError,
)
from advanced_rag.models.filters import matches
from advanced_rag.models.identity import Principal, Reader
from advanced_rag.models.index import SEMANTIC, SPARSE, VISUAL, domain_kind
from advanced_rag.models.retrieval import (
    Candidate,
    Degradation,
    Fused,
    Hit,
    Hydrated,
    LegName,
    RetrieveQuery,
    RetrieveResult,
    ScoreKind,
    SearchMode,
)
from advanced_rag.ranking.fuse import fuse, single
from advanced_rag.ranking.mmr import mmr
from advanced_rag.ranking.rerank import Reranker, blend
from advanced_rag.resilience.deadline import Deadline
from advanced_rag.resilience.guard import Guard
from advanced_rag.services.index import Index
from advanced_rag.services.layout import Collection
from advanced_rag.services.page_search import PageSearch
from advanced_rag.services.searches import HydrationBatcher, SearchBatcher
from advanced_rag.storage.collections import Vectors
from advanced_rag.telemetry import metrics
from advanced_rag.telemetry.logs import get_logger
from advanced_rag.telemetry.tracing import stage
from advanced_rag.text.chunk import passage

_SLACK = 10  # candidates read back beyond what is asked, to make up for those SQL does not confirm
_log = get_logger(__name__)

_KINDS: Mapping[SearchMode, ScoreKind] = {"semantic": "cosine", "domain": "cosine", "sparse": "bm25", "visual": "maxsim"}
_FUSED: frozenset[SearchMode] = frozenset({"hybrid", "hybrid_visual"})
_VISUAL: frozenset[SearchMode] = frozenset({"visual", "hybrid_visual"})


@dataclass(frozen=True, slots=True)
class Ranked:
    """A fused candidate that SQL confirmed, with its score so far."""

    fused: Fused
    found: Hydrated
    score: float
    kind: ScoreKind


class _Course:
    """What happened on the way: times and failures."""

    def __init__(self) -> None:
        self.timings_ms: dict[str, float] = {}
        self.degraded: list[Degradation] = []

    def stage(self, name: str) -> AbstractContextManager[None]:
        return stage(name, self.timings_ms)

    def degrade(self, component: str, error: RagError) -> None:
        self.degraded.append(Degradation(component, error.code))
        metrics.DEGRADED.labels(component).inc()
        _log.warning("degraded", component=component, code=error.code)


class RetrieveService:
    """Answers retrieval requests."""

    def __init__(
        self,
        index: Index,
        guards: Mapping[LegName, Guard],
        searches: SearchBatcher,
        hydrations: HydrationBatcher,
        pages: PageSearch | None,
        reranker: Reranker | None,
        rerank_guard: Guard,
        settings: RetrievalSettings,
        features: FeatureSettings,
        saw: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._index = index
        self._guards = guards
        self._searches = searches
        self._hydrations = hydrations
        self._pages = pages
        self._reranker = reranker
        self._rerank_guard = rerank_guard
        self.settings = settings
        self._features = features
        self._saw = saw
        metrics.begin(metrics.DEGRADED, [*guards, "rerank", "mmr"])

    @property
    def collections(self) -> dict[str, str]:
        """The collection of each kind that is searched now."""
        return {kind: generation.collection for kind, generation in self._index.generations.items()}

    @property
    def encoder(self) -> str:
        """The fingerprint of the semantic encoder."""
        return self._index.semantic.encoder.fingerprint

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """Return how many tokens texts have, as the semantic encoder counts them."""
        return self._index.semantic.encoder.tokenizer.count(texts)

    async def retrieve(self, principal: Principal, query: RetrieveQuery, deadline: Deadline) -> RetrieveResult:
        """Find the passages that fit a query, best first.

        Raises UnavailableError when no leg answers, InvalidRequestError for what the settings do not offer.
        """
        course = _Course()
        try:
            with course.stage("total"):
                ranked = await self._find(principal, query, deadline, course)
        finally:  # who got no answer in time was there too
            self._saw(course.timings_ms["total"] / 1000)
        hits = [_hit(item, query) for item in ranked[: query.top_k]]
        return RetrieveResult(hits, course.degraded, course.timings_ms)

    async def _find(self, principal: Principal, query: RetrieveQuery, deadline: Deadline, course: _Course) -> list[Ranked]:
        with course.stage("search"):
            found = await self._search(principal, query, deadline, course)
        fused = self._fuse(query, found)
        with course.stage("hydrate"):
            async with deadline.limit("the database"):
                ranked = await self._hydrate(principal, query, fused)
        ranked = await self._rerank(query, ranked, deadline, course)
        return await self._diversify(principal, query, ranked, deadline, course)

    async def _search(
        self, principal: Principal, query: RetrieveQuery, deadline: Deadline, course: _Course
    ) -> dict[LegName, list[Candidate]]:
        legs = self._legs(query)
        limit = max(self.settings.candidates, query.top_k + _SLACK)
        outcomes = await asyncio.gather(
            *(self._leg(leg, run, principal, query, limit, deadline, course) for leg, run in legs.items()),
            return_exceptions=True,
        )
        found: dict[LegName, list[Candidate]] = {}
        failures: list[RagError] = []
        for leg, outcome in zip(legs, outcomes, strict=True):
            match outcome:
                case UnavailableError() | OverloadedError():
                    failures.append(outcome)
                    course.degrade(leg, outcome)
                case BaseException():
                    raise outcome
                case _:
                    found[leg] = outcome
        if not found:
            raise failures[0]
        return found

    def _legs(self, query: RetrieveQuery) -> dict[LegName, Collection]:
        """Choose the legs a request runs."""
        domain, mode, live = self._domain(query), query.search_mode, self._index.layout.live
        legs: dict[LegName, Collection] = {}
        if mode in _FUSED | {"semantic"}:
            legs["semantic"] = live[SEMANTIC]
        if mode in _FUSED | {"sparse"} and SPARSE in live:
            legs["sparse"] = live[SPARSE]
        if mode in _FUSED | {"domain"} and domain is not None:
            legs["domain"] = live[domain_kind(domain)]
        if mode in _VISUAL and self._pages is not None:
            legs["visual"] = live[VISUAL]
        if not legs or (mode in _VISUAL and self._pages is None):
            raise FeatureDisabledError(f"{mode} search is switched off")
        return legs

    def _domain(self, query: RetrieveQuery) -> str | None:
        if query.domain is None:
            if query.search_mode == "domain":
                raise _unknown("name the domain to search in")
            return None
        if not self._features.domain:
            raise FeatureDisabledError("domain search is switched off")
        if domain_kind(query.domain) not in self._index.layout.live:
            raise _unknown("no such domain is configured")
        return query.domain

    async def _leg(
        self,
        name: LegName,
        leg: Collection,
        principal: Principal,
        query: RetrieveQuery,
        limit: int,
        deadline: Deadline,
        course: _Course,
    ) -> list[Candidate]:
        if name == "visual" and self._pages is not None:
            return await self._pages.find(principal, query, leg.generation, limit, deadline, course.stage)
        if not leg.is_usable:
            raise EncoderMissingError("the encoder of this index is not to be had here")
        vector: Any = query.query
        if leg.embedder is not None:
            with course.stage(f"encode_{name}"):
                async with deadline.limit("the encoder"):
                    vector = await leg.embedder.query(query.query, principal.cache_scope)
        key = (leg.generation, principal.reader, limit, query.filters)

        def search() -> Awaitable[list[Candidate]]:
            return self._searches.submit(key, vector)

        with course.stage(name):
            return await self._guards[name].call(search, deadline)

    def _fuse(self, query: RetrieveQuery, found: Mapping[LegName, Sequence[Candidate]]) -> list[Fused]:
        if query.search_mode not in _FUSED:
            ((leg, candidates),) = found.items()
            return single(leg, candidates)
        chosen = self.settings.weights
        weights: dict[LegName, float] = {
            "semantic": chosen.semantic,
            "sparse": chosen.sparse,
            "domain": chosen.domain,
            "visual": chosen.visual,
            **(query.weights or {}),
        }
        return fuse(found, weights)

    async def _hydrate(self, principal: Principal, query: RetrieveQuery, fused: Sequence[Fused]) -> list[Ranked]:
        """Read candidates back from SQL, in batches until enough of them are confirmed."""
        wanted = max(query.top_k, self.settings.rerank_candidates if self._reranker else 0)
        wanted = max(wanted, self.settings.candidates if self._mmr_wanted(query) else 0)
        kind = _KINDS.get(query.search_mode, "fused")
        ranked: list[Ranked] = []
        position = 0
        while len(ranked) < wanted and position < len(fused):
            batch = fused[position : position + wanted + _SLACK - len(ranked)]
            position += len(batch)
            confirmed = await self._confirmed(principal, query, batch)
            ranked += [
                Ranked(item, confirmed[item.chunk_id], item.score, kind) for item in batch if item.chunk_id in confirmed
            ]
        return ranked[:wanted]

    async def _confirmed(self, principal: Principal, query: RetrieveQuery, batch: Sequence[Fused]) -> dict[str, Hydrated]:
        ids = [item.chunk_id for item in batch]
        found = await self._hydrations.submit(principal.reader, ids)
        kept = {
            chunk_id: item
            for chunk_id, item in found.items()
            if query.filters is None or matches(query.filters, item.document.declared, item.document.metadata)
        }
        metrics.DROPPED_HITS.inc(len(ids) - len(kept))
        return kept

    async def _rerank(self, query: RetrieveQuery, ranked: list[Ranked], deadline: Deadline, course: _Course) -> list[Ranked]:
        if query.rerank is False or not self._features.reranking or not ranked:
            return ranked
        if self._reranker is None or query.search_mode in _VISUAL:  # it reads text, and a page may have none
            if query.rerank:
                course.degrade("rerank", FeatureDisabledError("no rerank model is configured, or it cannot see pages"))
            return ranked
        head, tail = ranked[: self.settings.rerank_candidates], ranked[self.settings.rerank_candidates :]
        passages = [passage(item.found.document.title, (), item.found.chunk.text) for item in head]
        score = self._reranker.score
        try:
            with course.stage("rerank"):
                scores = await self._rerank_guard.call(lambda: asyncio.to_thread(score, query.query, passages), deadline)
        except (UnavailableError, OverloadedError) as error:
            course.degrade("rerank", error)
            return ranked
        final = blend(np.array([item.score for item in head], dtype=np.float32), scores, self.settings.rerank_weight)
        order = np.argsort(-final, kind="stable")
        return [replace(head[i], score=float(final[i]), kind="rerank") for i in order] + tail

    async def _vectors(self, reader: Reader, leg: LegName, ranked: list[Ranked]) -> dict[str, Vectors]:
        ids = [item.found.chunk.chunk_id for item in ranked]
        return await asyncio.to_thread(self._index.store.vectors, self._index.generations[leg], reader.tenant, ids)

    def _mmr_wanted(self, query: RetrieveQuery) -> bool:
        return self._features.mmr if query.mmr is None else query.mmr

    async def _diversify(
        self, principal: Principal, query: RetrieveQuery, ranked: list[Ranked], deadline: Deadline, course: _Course
    ) -> list[Ranked]:
        if not self._mmr_wanted(query) or len(ranked) < 2:
            return ranked
        leg: LegName = "visual" if query.search_mode == "visual" else "semantic"
        try:
            with course.stage("mmr"):
                vectors = await self._guards[leg].call(lambda: self._vectors(principal.reader, leg, ranked), deadline)
        except (UnavailableError, OverloadedError) as error:
            course.degrade("mmr", error)
            return ranked
        if not vectors:
            return ranked
        nothing = np.zeros_like(next(iter(vectors.values())))  # of a page without text: it is like no other
        scores = np.array([item.score for item in ranked], dtype=np.float32)
        relevance = (scores - scores.min()) / max(float(np.ptp(scores)), 1e-9)
        matrix = np.stack([vectors.get(item.found.chunk.chunk_id, nothing) for item in ranked])
        trade_off = self.settings.mmr_lambda if query.mmr_lambda is None else query.mmr_lambda
        return [replace(ranked[i], kind="mmr") for i in mmr(relevance, matrix, top_k=query.top_k, trade_off=trade_off)]


def _unknown(message: str) -> UnknownDomainError:
    return UnknownDomainError(message, fields=[FieldError("domain", "unknown_domain", message)])


def _hit(item: Ranked, query: RetrieveQuery) -> Hit:
    explanation = None
    if query.explain:
        shares = {leg: place.share for leg, place in item.fused.legs.items()}
        explanation = {"fused_score": item.fused.score, "shares": shares, "final_score": item.score}
    return Hit(item.found.chunk, item.found.document, item.score, item.kind, item.fused.legs, explanation)
