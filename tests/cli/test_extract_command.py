"""``fathom extract``: Markdown on stdout, errors as plain sentences."""

from __future__ import annotations

import io
import json
import sys

import pytest

from fathom.cli import run_command

HEAD = "<html><head><title>Towers</title><meta name=author content='A. Keeper'></head><body><nav>Home</nav><main>"
PAGE = HEAD + "<h1>Towers</h1>"
PAGE += (
    "<p>The keeper lit the lamp and wrote the weather down.</p>" * 6
    + "<pre>if lit:\n    rest()</pre></main></body></html>"
)


def test_a_page_is_printed_as_markdown(tmp_path, capfdbinary):
    file = tmp_path / "page.html"
    file.write_text(PAGE)
    assert run_command(["extract", str(file), "--url", "http://x.example/"]) == 0
    printed = capfdbinary.readouterr().out.decode()
    assert "```\nif lit:\n    rest()\n```\n" in printed and "Home" not in printed


def test_json_tells_title_author_and_address(tmp_path, capfdbinary):
    file = tmp_path / "page"  # a name that says nothing
    file.write_text(PAGE)
    assert run_command(["extract", str(file), "--url", "http://x.example/", "--json"]) == 0
    document = json.loads(capfdbinary.readouterr().out)
    assert (document["title"], document["author"], document["uri"]) == ("Towers", "A. Keeper", "http://x.example/")


def test_stdin_and_a_named_kind(monkeypatch, capfdbinary):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("이름;높이\n등대;9\n".encode("euc-kr"))))
    assert run_command(["extract", "-", "--kind", "csv", "--charset", "euc-kr"]) == 0
    assert capfdbinary.readouterr().out.decode() == "| 이름 | 높이 |\n| --- | --- |\n| 등대 | 9 |\n"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.pdf", b"%PDF-1.4 nothing", "the PDF is broken"),
        ("a.docx", b"PK\x03\x04 word/document.xml", "broken"),
        ("a.png", b"\x89PNG\0\0", "cannot be read as text"),
        ("a.html", b"<script>x</script>", "no text"),
    ],
)
def test_what_has_no_text_is_told(tmp_path, capsys, name, data, said):
    file = tmp_path / name
    file.write_bytes(data)
    assert run_command(["extract", str(file)]) == 1
    assert said in capsys.readouterr().err


def test_a_missing_file_is_told(tmp_path, capsys):
    assert run_command(["extract", str(tmp_path / "none.html")]) == 1
    assert "No such file" in capsys.readouterr().err
