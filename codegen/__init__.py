"""Write messages modules from protocol headers: `python -m codegen`.

The way of the data: header -> `preprocess` (tokens without directives) -> `lower` (C text that pycparser reads) ->
`reader` (syntax trees) -> `declarations`, `structs` (what was declared) -> `choose` (the messages among it) ->
`model` -> `emit`, `diff`, and `compiler`, which compares the layouts with a C++ compiler's.
"""
