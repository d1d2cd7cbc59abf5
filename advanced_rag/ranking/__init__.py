"""Fusion, diversity, reranking, confidence; pure but for the rerank model."""
