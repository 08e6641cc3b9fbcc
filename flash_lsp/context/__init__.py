"""What of other files a prompt holds: which files, which parts of them, and when the KV cache is given up for it."""
