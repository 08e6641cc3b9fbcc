"""Fused int4 kernels for decoding llama-family models: five launches a layer, one text for Metal, CUDA and the host.

launches.py describes the launches, registry.py builds their kernels, problem.py compares them with reference.py.
"""
