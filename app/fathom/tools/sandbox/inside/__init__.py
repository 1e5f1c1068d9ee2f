"""The programs that run in a sandbox: standard library only, because they are handed over as text (``text.py``).

They speak with the app over pipes; the app shares their constants and believes nothing that they say.
"""
