"""Rerankers of both kinds, on tiny models made here; blending."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder
from transformers import BertConfig, BertForSequenceClassification

from advanced_rag.exceptions import StartupError
from advanced_rag.ranking.rerank import blend, load_reranker
from tests.support.models import save_tiny_bert

PASSAGES = ["the pump is broken", "an invoice", "reset the pump controller, then reset the pump again"]


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = save_tiny_bert(tmp_path_factory.mktemp("base"))
    torch.manual_seed(0)
    config = BertConfig.from_pretrained(base, num_labels=1)
    BertForSequenceClassification(config).save_pretrained(base)
    folder = tmp_path_factory.mktemp("cross")
    CrossEncoder(str(base), device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="module")
def late_interaction(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = save_tiny_bert(tmp_path_factory.mktemp("base"))
    folder = tmp_path_factory.mktemp("late")
    MultiVectorEncoder(str(base), device="cpu").save(str(folder))
    return folder


def test_a_cross_encoder_scores_as_its_library_does(cross_encoder):
    found = load_reranker(str(cross_encoder)).score("reset the pump", PASSAGES)
    expected = CrossEncoder(str(cross_encoder), device="cpu").predict([("reset the pump", text) for text in PASSAGES])
    np.testing.assert_allclose(found, expected.reshape(-1), rtol=1e-5)


def test_late_interaction_sums_the_best_match_of_each_token(late_interaction):
    model = MultiVectorEncoder(str(late_interaction), device="cpu")
    found = load_reranker(str(late_interaction)).score("reset the pump", PASSAGES)
    expected = model.similarity(
        model.encode_query(["reset the pump"]),
        model.encode_document(PASSAGES),
    )
    np.testing.assert_allclose(found, np.asarray(expected.cpu()).reshape(-1), rtol=1e-4)


def test_a_missing_model_is_one_clear_line(tmp_path):
    with pytest.raises(StartupError, match="rerank_model"):
        load_reranker(str(tmp_path / "nothing"))


def test_a_broken_model_is_one_clear_line(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    with pytest.raises(StartupError, match="rerank_model"):
        load_reranker(str(tmp_path))


def test_blending_weighs_both_scales_alike():
    fused = np.array([0.9, 0.5, 0.1], dtype=np.float32)
    reranked = np.array([-4.0, 2.0, 8.0], dtype=np.float32)
    for weight, expected in ((0.0, [1, 0.5, 0]), (1.0, [0, 0.5, 1]), (0.5, [0.5, 0.5, 0.5])):
        np.testing.assert_allclose(blend(fused, reranked, weight), expected, atol=1e-6)
