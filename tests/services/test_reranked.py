"""Reranking in a request, with a tiny model made here."""

from pathlib import Path

import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers import BertConfig, BertForSequenceClassification

from advanced_rag.config import FeatureSettings, RetrievalSettings
from tests.support.live import LiveService
from tests.support.models import save_tiny_bert
from tests.support.service import INGEST

TEXTS = ["the pump", "an invoice", "reset the controller", "broken"]
DOCUMENTS = [{"id": str(n), "title": "the", "text": text} for n, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    base = save_tiny_bert(tmp_path_factory.mktemp("base"))
    torch.manual_seed(0)
    BertForSequenceClassification(BertConfig.from_pretrained(base, num_labels=1)).save_pretrained(base)
    folder: Path = tmp_path_factory.mktemp("cross")
    CrossEncoder(str(base), device="cpu").save(str(folder))
    return str(folder)


def hits(service: LiveService, **options) -> list[tuple[str, str]]:
    answer = service.post("/v1/retrieve", query="how do i reset the pump?", **options).json()
    assert answer["degraded"] == []
    return [(hit["document_id"], hit["score_kind"]) for hit in answer["hits"]]


def test_the_model_decides_the_order_unless_it_is_told_not_to(data_dir, model):
    retrieval = RetrievalSettings(rerank_model=model, rerank_weight=1.0)
    with LiveService(data_dir, retrieval=retrieval) as service:
        assert service.post(INGEST, documents=DOCUMENTS).is_success
        scores = CrossEncoder(model, device="cpu").predict([("how do i reset the pump?", f"the. {text}") for text in TEXTS])
        best_first = [DOCUMENTS[index]["id"] for index in scores.reshape(-1).argsort()[::-1]]
        assert hits(service) == [(key, "rerank") for key in best_first]
        assert {kind for _, kind in hits(service, rerank=False)} == {"fused"}


def test_the_feature_can_be_switched_off(data_dir, model):
    options = {"retrieval": RetrievalSettings(rerank_model=model), "features": FeatureSettings(reranking=False)}
    with LiveService(data_dir, **options) as service:
        assert service.post(INGEST, documents=DOCUMENTS).is_success
        assert {kind for _, kind in hits(service)} == {"fused"}


def test_without_a_model_a_wish_for_it_is_answered_with_a_mark(service):
    assert service.post(INGEST, documents=DOCUMENTS).is_success
    answer = service.post("/v1/retrieve", query="pump", rerank=True).json()
    assert answer["degraded"] == [{"component": "rerank", "reason": "feature_disabled"}]
