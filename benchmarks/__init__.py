"""Benchmarks: the cost of the host compared with the libraries that it uses.

``python -m benchmarks`` runs all benchmarks, ``--list`` lists them. The two sides of a pair are
interleaved in one run, so that other load on the machine affects both sides equally.
"""
