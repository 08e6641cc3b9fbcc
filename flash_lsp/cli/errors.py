"""What the user gave cannot be used."""


class InputError(Exception):
    """`str(error)` is one line that names the file, position, option or value, and what would be right."""
