"""Answering from passages, with a language model or without."""
