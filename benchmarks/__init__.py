"""Benchmarks: what the host costs beside the libraries it is made of.

``python -m benchmarks`` runs all of them, ``--list`` says which there are. Every pair is
interleaved in one run, so that what else the machine does falls on both sides alike.
"""
