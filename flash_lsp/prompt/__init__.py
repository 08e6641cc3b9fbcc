"""Fill-in-the-middle prompts: how each model wants them, and how they stay put while the user types."""
