"""Code that wants something from the network is known by its words."""

from __future__ import annotations

import pytest

from fathom.tools.scraping import fetches_by_code


@pytest.mark.parametrize(
    "code",
    [
        "curl https://example.com",
        "cd /workspace && wget -q example.com/x.csv",
        "echo $(curl -s example.com)",
        "pip install pandas",
        "apt-get update",
        "git clone https://github.com/x/y",
        "import requests\nprint(requests.get('https://example.com').text)",
        "from urllib.request import urlopen\nurlopen('http://example.com')",
        "import urllib.request\nurllib.request.urlretrieve(u, 'x')",
        "import httpx; httpx.get(url)",
        "    import aiohttp",
        "df = pd.read_csv('https://example.com/data.csv')",
        'pd.read_html("http://example.com")',
        "import socket\nsocket.create_connection(('example.com', 80))",
        "from selenium import webdriver",
    ],
)
def test_fetching_is_noticed(code):
    assert fetches_by_code(code)


@pytest.mark.parametrize(
    "code",
    [
        "print(6 * 7)",
        "grep -c curl notes.txt",
        "x = 'see https://example.com'\nprint(len(x))",
        "import urllib.parse\nprint(urllib.parse.quote('a b'))",
        "pd.read_csv('data.csv')",
        "requests = [1, 2]\nprint(sum(requests))",
        "ls -l; cat table.csv | wc -l",
        "print('wget is a program')",
    ],
)
def test_computing_is_not(code):
    assert not fetches_by_code(code)
