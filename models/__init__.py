"""The bundled models, installed as flash_engine.models: data, a card each and the manifest of SHA-256 sums."""
