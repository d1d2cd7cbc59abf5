"""Encoders from any sentence-transformers folder: prepared once, the same vectors by each runtime."""

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from advanced_rag.config import EncoderSettings
from advanced_rag.encoders.load import BUNDLED_MODEL, load_encoder
from advanced_rag.exceptions import StartupError
from tests.support.models import save_tiny_bert

TEXTS = ["the pump is broken", "reset the pump controller, then reset the pump again. " * 9, "x"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    base = SentenceTransformer(str(save_tiny_bert(tmp_path_factory.mktemp("base"))), device="cpu")
    base.prompts = {"query": "how do i ", "document": "the "}
    base.save(str(folder))
    return folder


@pytest.fixture(scope="module", params=["openvino", "torch"])
def encoder(request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory):
    return load_encoder(str(model), EncoderSettings(runtime=request.param), tmp_path_factory.mktemp("cache"))


def test_it_encodes_as_its_library_does_queries_and_passages_apart(encoder, model):
    original = SentenceTransformer(str(model), device="cpu")
    for found, expected in (
        (encoder.encode_queries(TEXTS), original.encode_query(TEXTS, normalize_embeddings=True)),
        (encoder.encode_passages(TEXTS), original.encode_document(TEXTS, normalize_embeddings=True)),
    ):
        assert found.shape == (3, encoder.dimension)
        assert (found * expected).sum(axis=1).min() > 0.999
    assert not np.allclose(encoder.encode_queries(TEXTS), encoder.encode_passages(TEXTS))


def test_the_second_load_does_not_prepare_again(model, tmp_path):
    said: list[str] = []
    settings = EncoderSettings(runtime="torch")
    first = load_encoder(str(model), settings, tmp_path, announce=said.append)
    second = load_encoder(str(model), settings, tmp_path, announce=said.append)
    assert len(said) == 1
    assert first.fingerprint == second.fingerprint


def test_the_bundled_weights_are_checked(monkeypatch, tmp_path):
    monkeypatch.setattr("advanced_rag.encoders.load.BUNDLED_SHA256", "0" * 64)
    with pytest.raises(StartupError, match="SHA-256"):
        load_encoder(BUNDLED_MODEL, EncoderSettings(), tmp_path)
