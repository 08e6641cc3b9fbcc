"""Offline code completion: a language server, its commands and its benches."""
