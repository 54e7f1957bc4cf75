"""Measurements of the real `twistd dtc` against the real simulator; run by hand, never by the test suite."""
