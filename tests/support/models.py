"""Tiny models with random weights and a small vocabulary: real loading code, no download."""

from pathlib import Path

import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

_WORDS = [
    "the",
    "pump",
    "is",
    "broken",
    "an",
    "invoice",
    "reset",
    "controller",
    "then",
    "again",
    "how",
    "do",
    "i",
    "a",
    "of",
    ",",
    ".",
    "?",
]


def save_tiny_bert(folder: Path) -> Path:
    """Save a BERT of two layers and 32 dimensions with its tokenizer."""
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS]), encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab_file=str(vocabulary), model_max_length=64)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,  # far apart, so that no two texts score alike
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
