"""Pages and questions become vectors that can be compared: real loading code, on a tiny model made here."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sentence_transformers import MultiVectorEncoder
from transformers import ColQwen2ForRetrieval, ColQwen2Processor

from advanced_rag.config import VisualSettings
from advanced_rag.encoders.visual import load_visual_encoder, opened
from advanced_rag.exceptions import EncoderError, StartupError
from advanced_rag.file_errors import UnrenderableError
from tests.support.models import save_tiny_bert
from tests.support.visual import DIMENSION, save_tiny_colqwen2

SETTINGS = VisualSettings(batch_pages=2)
PAGES = [
    Image.linear_gradient("L").resize((160, 90)),  # a slide
    Image.effect_mandelbrot((90, 120), (-2, -1.5, 1, 1.5), 40).convert("RGBA"),  # a page
    Image.radial_gradient("L").resize((60, 60)).convert("1"),  # a scan
]
QUESTIONS = ["reset the pump controller ?", "invoice", "the image is broken ."]


@pytest.fixture(scope="module")
def colqwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_colqwen2(tmp_path_factory.mktemp("colqwen2"))


@pytest.fixture(scope="module")
def saved_by_sentence_transformers(colqwen2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("multi")
    MultiVectorEncoder(str(colqwen2), device="cpu").save(str(folder))
    return folder


def by_transformers(folder: Path, inputs: dict) -> np.ndarray:
    """What the model gives when it is used as its authors say, one input at a time."""
    model = ColQwen2ForRetrieval.from_pretrained(folder)
    prepared = ColQwen2Processor.from_pretrained(folder)(**inputs)
    with torch.inference_mode():
        return model(**prepared).embeddings[0].float().numpy()


@pytest.mark.parametrize("kind", ["colqwen2", "saved_by_sentence_transformers"])
def test_pages_and_questions_get_the_vectors_their_model_gives(kind, colqwen2, request):
    encoder = load_visual_encoder(str(request.getfixturevalue(kind)), SETTINGS)
    pages, questions = encoder.pages(PAGES), encoder.queries(QUESTIONS)
    assert encoder.dimension == DIMENSION
    for page, found in zip(PAGES, pages, strict=True):
        np.testing.assert_allclose(found, by_transformers(colqwen2, {"images": [page.convert("RGB")]}), atol=1e-4)
    for question, found in zip(QUESTIONS, questions, strict=True):
        np.testing.assert_allclose(found, by_transformers(colqwen2, {"text": [question]}), atol=1e-4)


def test_every_vector_has_length_one_whatever_the_precision_of_the_weights(tmp_path):
    encoder = load_visual_encoder(str(save_tiny_colqwen2(tmp_path, dtype=torch.bfloat16)), SETTINGS)
    for found in (*encoder.pages(PAGES), *encoder.queries(QUESTIONS)):
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_the_fingerprint_tells_weights_apart(colqwen2, tmp_path):
    other = save_tiny_colqwen2(tmp_path)
    model = ColQwen2ForRetrieval.from_pretrained(other)
    model.embedding_proj_layer.weight.data[0, 0] += 1
    model.save_pretrained(other)
    first, again, changed = (load_visual_encoder(str(path), SETTINGS).fingerprint for path in (colqwen2, colqwen2, other))
    assert first == again
    assert first != changed


def test_no_more_pages_than_set_are_encoded_at_once(colqwen2, monkeypatch):
    encoder = load_visual_encoder(str(colqwen2), SETTINGS)
    sizes: list[int] = []
    encode = MultiVectorEncoder.encode_document

    def counted(self, inputs, **options):
        sizes.append(len(inputs))
        return encode(self, inputs, **options)

    monkeypatch.setattr(MultiVectorEncoder, "encode_document", counted)
    assert len(encoder.pages(PAGES)) == 3
    assert sizes == [2, 1]


def test_an_image_the_model_cannot_read_is_our_own_error(colqwen2):
    with pytest.raises(EncoderError):
        load_visual_encoder(str(colqwen2), SETTINGS).pages([Image.new("RGB", (3000, 2))])


def test_weights_that_give_no_numbers_are_our_own_error(colqwen2, tmp_path):
    broken = save_tiny_colqwen2(tmp_path)
    model = ColQwen2ForRetrieval.from_pretrained(broken)
    model.embedding_proj_layer.weight.data[:] = float("nan")
    model.save_pretrained(broken)
    with pytest.raises(EncoderError):
        load_visual_encoder(str(broken), SETTINGS).queries(QUESTIONS)


def test_a_model_that_would_get_random_weights_is_refused(tmp_path):
    with pytest.raises(StartupError, match=r"visual\.model: .* no late-interaction model"):
        load_visual_encoder(str(save_tiny_bert(tmp_path)), SETTINGS)


def test_a_model_that_reads_text_alone_is_refused(tmp_path):
    MultiVectorEncoder(str(save_tiny_bert(tmp_path)), device="cpu").save(str(tmp_path / "late"))
    with pytest.raises(StartupError, match=r"visual\.model: .* reads no images"):
        load_visual_encoder(str(tmp_path / "late"), SETTINGS)


@pytest.mark.parametrize("name", ["/nowhere", "./nothing", "nothing"])
def test_a_missing_model_is_one_clear_line(name):
    with pytest.raises(StartupError, match=r"visual\.model: there is no model folder"):
        load_visual_encoder(name, SETTINGS)


def test_a_folder_without_a_model_is_one_clear_line(tmp_path):
    with pytest.raises(StartupError, match=r"visual\.model: .* cannot be loaded"):
        load_visual_encoder(str(tmp_path), SETTINGS)


def test_an_image_that_is_cut_off_is_our_own_error(colqwen2):
    whole = io.BytesIO()
    PAGES[0].save(whole, "JPEG")
    with pytest.raises(EncoderError):
        load_visual_encoder(str(colqwen2), SETTINGS).pages([Image.open(io.BytesIO(whole.getvalue()[:-200]))])


def test_a_broken_model_is_one_clear_line(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["ColQwen2ForRetrieval"], "model_type": "colqwen2"}')
    with pytest.raises(StartupError, match=r"visual\.model: .* cannot be loaded"):
        load_visual_encoder(str(tmp_path), SETTINGS)


def as_jpeg(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.convert("RGB").save(written, "JPEG")
    return written.getvalue()


def test_a_page_drawn_elsewhere_is_opened():
    assert opened(as_jpeg(PAGES[0]), 160).size == (160, 90)


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", as_jpeg(PAGES[0])[:-200], as_jpeg(Image.new("RGB", (161, 10))), b"\x89PNG\r\n\x1a\n"],
    ids=["nothing", "text", "cut off", "too large", "another format"],
)
def test_what_is_no_page_as_asked_for_is_refused(data):
    with pytest.raises(UnrenderableError):
        opened(data, 160)
