"""Speed of the fused decoder on this machine's GPU, beside MLX's stock path, with random weights."""
