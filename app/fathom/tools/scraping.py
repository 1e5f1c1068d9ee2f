"""Does a piece of code try to get something from the network? Then it is told which tool does that.

A guess by words: it changes nothing but a sentence in the observation.
"""

from __future__ import annotations

import re

_ADDRESS = r"(?:https?|ftp)://"
_BY_COMMAND = re.compile(
    rf"(?:^|[;&|(`$\n]\s*|\b(?:sudo|time|exec|xargs)\s+)(?:curl|wget|lynx|w3m|aria2c|httpie|https?|git\s+clone|ping|dig|nslookup)\b"
    rf"|\b(?:pip3?|apt|apt-get|npm|conda)\s+(?:install|download|update)\b|{_ADDRESS}[^\s'\"]+\s*\|"
)
_BY_LIBRARY = re.compile(
    r"\b(?:requests|httpx)\s*\.\s*(?:get|post|request|head|Session|Client|AsyncClient|stream)\b"
    r"|\burllib3?\s*\.?\s*request\b|\burlopen\b|\burlretrieve\b|\bPoolManager\b"
    r"|^\s*(?:import|from)\s+(?:requests|httpx|aiohttp|urllib\.request|urllib3|selenium|playwright|scrapy|mechanize)\b"
    rf"|\bread_(?:html|csv|json|excel|table|xml)\s*\(\s*[frb]*['\"]{_ADDRESS}"
    r"|\bsocket\.(?:create_connection|getaddrinfo)\b|\bhttp\.client\b",
    re.MULTILINE,
)


def fetches_by_code(code: str) -> bool:
    """Whether a command or Python code looks as if it opened an address by itself."""
    return bool(_BY_COMMAND.search(code) or _BY_LIBRARY.search(code))
