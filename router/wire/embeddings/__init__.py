"""Embeddings: texts, and to some models pictures, as vectors. Callers speak OpenAI's language."""
