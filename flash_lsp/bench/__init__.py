"""Measurements: replay (keystrokes over stdio), quality (exact match), engine (tokens a second)."""
