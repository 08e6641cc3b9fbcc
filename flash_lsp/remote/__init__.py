"""Completions from a server that the user set: llama-server, vLLM, SGLang, Ollama (docs/remote.md)."""
