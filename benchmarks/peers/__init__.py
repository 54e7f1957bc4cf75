"""Gateways on other libraries that do the task of /marketdata, and that alone.

Each is a program that is given the server's port. They take from the server what they need, send what ours sends, and
make each message once for all its subscribers. Their packages are installed on demand, apart from ours.
"""
