"""Writes dtc_twisted/messages.py from the protocol header: `python -m codegen`.

The way of the data: dtc.h -> `lower` (text that a C parser reads) -> `reader` (its syntax tree) -> `model` (enums,
messages, fields) -> `emit`.
"""
