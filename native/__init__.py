"""Compiled kernels: coarse calls on plain buffers, without the interpreter lock.

They know nothing of the gateway, and three modules of it know them: `gateway.digests`,
`gateway.chunks.chunker` and `gateway.chunks.index`.
"""
