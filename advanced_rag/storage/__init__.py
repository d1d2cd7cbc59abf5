"""SQL (the truth) and Milvus (the index)."""
