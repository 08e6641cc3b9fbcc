"""Runs and checks the Metal text of flash_metal where there is no Metal. For tests only."""
