"""Diagnosis counts what is there, within its bounds, in bounded time."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.text.diagnose import Lexicons, diagnose

LEXICONS = Lexicons(
    {"law": ["contract", "breach of contract", "Haftung", "契約"], "pumps": ["pump", "contract"], "none": []}
)
WORDS = ["contract", "breach", "of", "pump", "Haftung", "契約", "the", "x1", "—"]
TEXTS = st.one_of(st.text(max_size=400), st.lists(st.sampled_from(WORDS), max_size=200).map(" ".join))

GERMAN = "Die Reisekosten werden innerhalb von dreißig Tagen erstattet, wenn die Belege vollständig sind. "
FRENCH = "Les frais de voyage sont remboursés dans les trente jours si les justificatifs sont complets. "
JAPANESE = "出張費は、領収書がすべてそろっていれば、三十日以内に払い戻されます。"


@given(text=TEXTS)
def test_every_figure_stays_within_its_bounds(text):
    found = diagnose(text, LEXICONS)
    assert found.characters == len(text)
    assert 0 <= found.vocabulary <= found.words
    assert 0 <= found.type_token_ratio <= 1
    assert 0 <= found.redundancy < 1
    assert 0 <= found.word_entropy <= math.log2(max(found.vocabulary, 1)) + 1e-9
    assert 0 <= found.character_entropy <= math.log2(max(len(set(text)), 1)) + 1e-9
    assert set(found.domains) == {"law", "pumps", "none"}
    assert all(0 <= density <= 1 for density in found.domains.values())


@given(words=st.lists(st.sampled_from(["contract", "pump", "the", "red"]), max_size=300), seed=st.integers(0, 9))
def test_the_order_of_words_does_not_change_what_is_counted_by_word(words, seed):
    shuffled = random.Random(seed).sample(words, len(words))
    single = Lexicons({"law": ["contract"]})
    before, after = (diagnose(" ".join(text), single) for text in (words, shuffled))
    assert (before.word_entropy, before.character_entropy) == (after.word_entropy, after.character_entropy)
    assert (before.words, before.vocabulary, before.domains) == (after.words, after.vocabulary, after.domains)


def test_nothing_can_be_told_of_an_empty_text():
    found = diagnose("", LEXICONS)
    assert (found.words, found.word_entropy, found.redundancy, found.type_token_ratio) == (0, 0, 0, 0)
    assert found.language == "und"
    assert found.domains == {"law": 0, "pumps": 0, "none": 0}


def test_four_words_as_often_as_each_other_are_two_bits():
    assert diagnose("red green blue black " * 50, LEXICONS).word_entropy == pytest.approx(2)


def test_what_repeats_compresses():
    boilerplate = "This page is intentionally left blank. " * 100
    assert diagnose(boilerplate, LEXICONS).redundancy > 0.9
    assert diagnose("Zq7!k@Lw9", LEXICONS).redundancy == 0


@pytest.mark.parametrize(("text", "language"), [(GERMAN, "de"), (FRENCH, "fr"), (JAPANESE, "ja"), ("12 % 40,000", "und")])
def test_the_language_is_told_where_there_is_one(text, language):
    assert diagnose(text, LEXICONS).language == language


def test_the_longest_term_counts_and_no_word_twice():
    found = diagnose("A Breach of Contract: contract, 契約!", LEXICONS)
    assert found.words == 7
    assert found.domains["law"] == pytest.approx(6 / 7)
    assert found.domains["pumps"] == pytest.approx(2 / 7)


def test_a_term_is_found_as_words_not_inside_them():
    assert diagnose("contractor subcontract pumpkin", LEXICONS).domains["law"] == 0


def test_a_long_text_is_judged_by_samples_from_its_start_to_its_end():
    found = diagnose("red " * 50_000 + "pump " * 50_000, LEXICONS)
    assert found.characters == 450_000
    assert found.words < 10_000
    assert 0.4 < found.domains["pumps"] < 0.6
