"""A tiny ColQwen2 with random weights, its tokenizer and its processor: real loading code, no download."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    AutoImageProcessor,
    ColQwen2Config,
    ColQwen2ForRetrieval,
    ColQwen2Processor,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
)

_PAD, _IMAGE = "<|endoftext|>", "<|image_pad|>"
_SPECIAL = [_PAD, "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", _IMAGE, "<|video_pad|>"]
_WORDS = ["[UNK]", "Query", ":", "Describe", "the", "image", "user", "pump", "is", "broken", "invoice", "reset", ".", "?"]
DIMENSION = 16


def save_tiny_colqwen2(folder: Path, *, dtype: torch.dtype = torch.float32) -> Path:
    """Save a ColQwen2 of two layers that makes vectors of 16 dimensions."""
    tokenizer = _tokenizer()
    torch.manual_seed(0)
    ColQwen2ForRetrieval(_config(tokenizer)).to(dtype).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        '{"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 14, "merge_size": 2, "temporal_patch_size": 2, '
        '"min_pixels": 3136, "max_pixels": 12544}',
        encoding="utf-8",
    )
    ColQwen2Processor(AutoImageProcessor.from_pretrained(folder), tokenizer).save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(WordLevel({word: number for number, word in enumerate([*_SPECIAL, *_WORDS])}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token=_PAD,
        unk_token="[UNK]",
        additional_special_tokens=_SPECIAL[1:],
        padding_side="left",
    )


def _config(tokenizer: PreTrainedTokenizerFast) -> ColQwen2Config:
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]},
    }
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14}
    token_ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in (
            ("image", "image_pad"),
            ("video", "video_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        )
    }
    model = Qwen2VLConfig(text_config=text, vision_config=vision, **token_ids)
    return ColQwen2Config(vlm_config=model, embedding_dim=DIMENSION, initializer_range=0.5)
