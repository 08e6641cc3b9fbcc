"""The launches on an NVIDIA GPU with matrix units: CUDA texts behind the interface of the Metal ones."""
