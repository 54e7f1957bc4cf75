"""Serve /marketdata on other libraries, and nothing else.

Each module is a program with the server's port as its argument. Each sends the same messages as `twistd dtc`, and
encodes each message once for all its subscribers. Their packages are installed on first use, in a separate environment.
"""
