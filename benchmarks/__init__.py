"""Measure the real `twistd dtc` with the real simulator.

Benchmarks are run by hand, never by the test suite.
"""
