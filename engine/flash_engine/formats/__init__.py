"""File formats of models: each is a Source of tensors."""
