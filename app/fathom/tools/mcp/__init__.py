"""Tools of other programs, over the Model Context Protocol with its official SDK.

One ``Connection`` a server, for the whole app. Whatever a server says is hostile: schemas are rebuilt (``schemas``),
texts are neutralised and cut, its output is bounded (``stdio``, ``web``). The SDK is imported at the first use, in a
thread: it takes most of a second.
"""
