"""Two generations of the index on one evaluation set: how well does each find the documents that were judged good?"""

import asyncio
from collections.abc import Mapping, Sequence

from advanced_rag.config import WeightSettings
from advanced_rag.models.documents import TenantId
from advanced_rag.models.identity import Reader
from advanced_rag.models.index import SEMANTIC, SPARSE, VISUAL
from advanced_rag.models.reindex import Comparison, EvaluationSet, Quality
from advanced_rag.models.retrieval import Candidate, LegName
from advanced_rag.ranking.fuse import fuse
from advanced_rag.ranking.quality import ndcg, recall
from advanced_rag.services.index import Index
from advanced_rag.services.layout import Collection
from advanced_rag.services.pace import FULL_SPEED, Tempo
from advanced_rag.services.sql import Sql
from advanced_rag.storage.hydration import hydrate

HYBRID = "hybrid"
_CANDIDATES = 100
_SCOPE = "evaluation"  # queries of others are not found in the cache by their time, nor these by theirs

Rankings = dict[str, list[str]]  # of chunks, by what was searched


class Evaluator:
    """Ranks documents, each at its best passage: by every collection alone, and by meaning and words together."""

    def __init__(self, database: Sql, index: Index, weights: WeightSettings) -> None:
        self._database = database
        self._index = index
        self._weights: dict[LegName, float] = {"semantic": weights.semantic, "sparse": weights.sparse}

    async def compare(
        self,
        tenant: TenantId,
        wanted: EvaluationSet,
        before: Mapping[str, Collection],
        built: Mapping[str, Collection],
        tempo: Tempo = FULL_SPEED,
    ) -> Comparison:
        """Compare what is live with what was built in its place; raises UnavailableError when a store is silent.

        Pages are left out: they are not asked for in words.
        """
        before, built = _asked_in_words(before), _asked_in_words(built)
        after = {**before, **built}
        judged = {key: gains for key, gains in wanted.judgments.items() if any(gain > 0 for gain in gains.values())}
        marks: dict[bool, dict[str, list[tuple[float, float]]]] = {False: {}, True: {}}
        for key, gains in judged.items():
            if key in wanted.queries:
                for is_after, collections in ((False, before), (True, after)):
                    rankings = await self._rank(tenant, wanted.queries[key], collections)
                    for name, ranking in rankings.items():
                        marks[is_after].setdefault(name, []).append((ndcg(ranking, gains), recall(ranking, gains)))
                await tempo.rest()
        names = (HYBRID,) if {SEMANTIC, SPARSE} & built.keys() else tuple(built)
        judged_by = tuple(name for name in names if name in marks[False] and name in marks[True])
        return Comparison(_means(marks[False]), _means(marks[True]), judged_by)

    async def _rank(self, tenant: TenantId, query: str, collections: Mapping[str, Collection]) -> Rankings:
        found = {kind: await self._search(tenant, query, collection) for kind, collection in collections.items()}
        kinds: dict[LegName, str] = {"semantic": SEMANTIC, "sparse": SPARSE}
        legs = {leg: found[kind] for leg, kind in kinds.items() if kind in found}
        rankings = {kind: [item.chunk_id for item in candidates] for kind, candidates in found.items()}
        rankings[HYBRID] = [item.chunk_id for item in fuse(legs, self._weights)]
        chunk_ids = sorted({chunk_id for ranking in rankings.values() for chunk_id in ranking})
        known = await self._database.read(tenant, lambda t: hydrate(t, chunk_ids, Reader(tenant, None)))
        owners = {chunk_id: item.document.document_id for chunk_id, item in known.items()}
        return {name: _documents(ranking, owners) for name, ranking in rankings.items()}

    async def _search(self, tenant: TenantId, query: str, collection: Collection) -> list[Candidate]:
        asked = query if collection.embedder is None else await collection.embedder.query(query, f"{tenant}/{_SCOPE}")
        reader, search = Reader(tenant, None), self._index.store.search
        (found,) = await asyncio.to_thread(search, collection.generation, reader, [asked], limit=_CANDIDATES)  # type: ignore[arg-type]
        return found


def _asked_in_words(collections: Mapping[str, Collection]) -> dict[str, Collection]:
    return {kind: item for kind, item in collections.items() if kind != VISUAL}


def _documents(ranking: Sequence[str], owners: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(owners[chunk_id] for chunk_id in ranking if chunk_id in owners))


def _means(marks: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, Quality]:
    return {
        name: Quality(sum(mark[0] for mark in own) / len(own), sum(mark[1] for mark in own) / len(own))
        for name, own in marks.items()
    }
