"""Pages in the style of Sphinx, MkDocs, Javadoc and GitHub: no block of code and no row of a table is lost."""

# ruff: noqa: E501 - the pages keep the line breaks of their tools
from __future__ import annotations

import re

import pytest
from lxml.html import document_fromstring

from fathom.tools.extract.drawing import draw, joined
from fathom.tools.extract.html import extract_html

PROSE = "<p>The lamp of a tower is lit by the keeper, who opens the file and reads what stands in it, line by line.</p>"
CODE = 'def lamp(name):\n    """Light it."""\n\n\n    if name:\n\treturn  name   # two spaces\n    return None'


def spans(code):
    """The code as Pygments writes it: a span for each token."""
    return re.sub(r"(\w+|[^\w\s]+)", r'<span class="n">\1</span>', code)


SPHINX = f"""<!DOCTYPE html><html><head><meta name="generator" content="Docutils 0.19: https://docutils.sourceforge.io/">
<title>lamps — Lamps 1.0 documentation</title><script src="_static/documentation_options.js"></script></head><body>
<div class="related" role="navigation"><h3>Navigation</h3><ul><li><a href="genindex.html">index</a></li></ul></div>
<div class="document"><div class="body" role="main"><section id="lamps">
<h1>lamps — Light them<a class="headerlink" href="#lamps" title="Permalink">¶</a></h1>{PROSE}
<dl class="py function"><dt class="sig" id="lamps.lamp"><span class="sig-name descname"><span class="pre">lamp</span></span>
<span class="sig-paren">(</span><em class="sig-param"><span class="n">name</span></em><span class="sig-paren">)</span>
<a class="headerlink" href="#lamps.lamp">¶</a></dt><dd><p>Light a lamp.</p>
<div class="highlight-python3 notranslate"><div class="highlight"><pre><span></span>{spans(CODE)}
</pre></div></div></dd></dl>
<table class="docutils align-default"><thead><tr class="row-odd"><th class="head"><p>Mode</p></th><th class="head"><p>Meaning</p>
</th></tr></thead><tbody><tr class="row-even"><td><p><code class="docutils literal"><span class="pre">'r'</span></code></p></td>
<td><p>open for reading (default)</p></td></tr><tr class="row-odd"><td><p>'a|b'</p></td><td><p>either</p></td></tr></tbody>
</table>
<div class="highlight-none notranslate"><div class="highlight"><table class="highlighttable"><tr><td class="linenos"><div
class="linenodiv"><pre>1
2</pre></div></td><td class="code"><div><pre>first line
second line</pre></div></td></tr></table></div></div>
</section></div></div><div class="sphinxsidebar"><ul><li><a href="a.html">Previous topic</a></li></ul></div></body></html>"""

MKDOCS = f"""<!doctype html><html><head><meta name="generator" content="mkdocs-1.5.3, mkdocs-material-9.4"><title>Lamps</title>
</head><body><header class="md-header"><nav>Lamps</nav></header><main class="md-main"><div class="md-sidebar"><nav class="md-nav">
<ul><li>Home</li></ul></nav></div><div class="md-content"><article class="md-content__inner md-typeset">
<h1 id="lamps">Lamps<a class="headerlink" href="#lamps">&para;</a></h1>{PROSE}
<div class="tabbed-set"><div class="tabbed-content"><div class="tabbed-block"><div class="language-toml highlight"><pre><span></span>
<code><a id="__codelineno-0-1"></a><span class="k">[lamp]</span>
<a id="__codelineno-0-2"></a><span class="n">lit</span> <span class="o">=</span> <span class="kc">true</span>
</code></pre></div></div><div class="tabbed-block" style="display: none"><pre><code>lamp --lit</code></pre></div></div></div>
<div class="admonition note"><p class="admonition-title">Note</p><p>It is warm.</p></div>
<ul><li>One<ol><li>first</li><li>second<pre><code>inside a list</code></pre></li></ol></li><li><p>Two</p><p>more of two</p></li></ul>
<table><thead><tr><th>Key</th><th style="text-align:right">Value</th></tr></thead><tbody><tr><td>lit</td><td>1</td></tr>
<tr><td></td><td>nothing before</td></tr></tbody></table>
</article></div></main><footer>Made with MkDocs</footer></body></html>"""

JAVADOC = f"""<!DOCTYPE HTML><html lang="en"><head><meta name="generator" content="javadoc/ClassWriterImpl"><title>Lamp (Lamps 1)
</title></head><body class="class-declaration-page"><div class="flex-box"><header role="banner"><nav role="navigation"><ul>
<li>Class</li></ul></nav></header><div class="flex-content"><main role="main"><h1 class="title">Class Lamp</h1>{PROSE}
<pre>{{@code
  Lamp&lt;T&gt; lamp = new Lamp&lt;&gt;();
}}</pre>
<div class="summary-table three-column-summary"><div class="table-header col-first">Modifier and Type</div><div class="table-header
col-second">Method</div><div class="table-header col-last">Description</div><div class="col-first even-row-color"><code>void</code>
</div><div class="col-second"><code><a href="#light()">light</a>()</code></div><div class="col-last"><div class="block">Lights it.</div>
</div></div>
<table class="striped"><caption>Lamp kinds</caption><thead><tr><th scope="col">Kind</th><th scope="col">Parts</th></tr></thead>
<tbody><tr><th scope="row">oil</th><td><table><tr><td>wick</td><td>1</td></tr><tr><td>oil</td><td>2</td></tr></table></td></tr>
<tr><th rowspan="2">gas</th><td><pre>valve
mantle</pre></td></tr><tr><td>glass</td></tr></tbody></table>
</main></div></div></body></html>"""

GITHUB = f"""<html><head><title>GitHub - keeper/lamps: Lamps</title></head><body><header class="Header">Sign in</header><main><div
class="BorderGrid"><table aria-labelledby="files"><tbody><tr><td><a href="/a">src</a></td><td><a href="/c">Fix it</a></td>
<td>2 years ago</td></tr><tr><td><a href="/b">README.md</a></td><td><a href="/d">Say more</a></td><td>last week</td></tr></tbody>
</table></div><div class="Box"><article class="markdown-body entry-content container-lg" itemprop="text"><div
class="markdown-heading"><h1 class="heading-element">Lamps</h1><a class="anchor" href="#lamps"><svg></svg></a></div>
{PROSE * 6}<div class="highlight highlight-source-shell notranslate"><pre>pip install lamps
<span class="pl-c"># ```then</span></pre><div class="zeroclipboard-container"><button>Copy</button></div></div>
<markdown-accessiblity-table><table><thead><tr><th>Option</th><th>Default</th></tr></thead><tbody><tr><td>--lit</td><td>no</td></tr>
<tr><td>--warm</td><td>yes</td></tr></tbody></table></markdown-accessiblity-table></article></div></main>
<footer>Terms</footer></body></html>"""


def test_sphinx():
    text = extract_html(SPHINX.encode()).text
    assert text.startswith("# lamps — Light them\n\nThe lamp of a tower")
    assert f"lamp (name)\n: Light a lamp.\n\n```python3\n{CODE}\n```" in text
    assert "| Mode | Meaning |\n| --- | --- |\n| 'r' | open for reading (default) |\n| 'a\\|b' | either |" in text
    assert "```\nfirst line\nsecond line\n```" in text
    assert "¶" not in text and "Navigation" not in text and "Previous topic" not in text


def test_mkdocs():
    text = extract_html(MKDOCS.encode()).text
    assert "```toml\n[lamp]\nlit = true\n```\n\n```\nlamp --lit\n```" in text
    assert "- One\n  1. first\n  2. second\n\n```\ninside a list\n```\n\n- Two\n\n  more of two" in text
    assert "| Key | Value |\n| --- | --- |\n| lit | 1 |\n|  | nothing before |" in text
    assert "Home" not in text and "Made with" not in text and "Note\n\nIt is warm." in text


def test_javadoc():
    text = extract_html(JAVADOC.encode()).text
    assert "```\n{@code\n  Lamp<T> lamp = new Lamp<>();\n}\n```" in text
    assert "| Modifier and Type | Method | Description |\n| --- | --- | --- |\n| void | light() | Lights it. |" in text
    assert (
        "Lamp kinds\n\n| Kind | Parts |\n| --- | --- |\n| oil | wick 1 oil 2 |\n| gas | valve mantle |\n| gas | glass |"
        in text
    )
    assert "| wick | 1 |\n| --- | --- |\n| oil | 2 |" in text  # the table inside of the cell, in full
    assert "```\nvalve\nmantle\n```" in text  # and the code


def test_github():
    text = extract_html(GITHUB.encode()).text
    assert "````shell\npip install lamps\n# ```then\n````" in text
    assert "| Option | Default |\n| --- | --- |\n| --lit | no |\n| --warm | yes |" in text
    assert "README.md" not in text and "Copy" not in text and "Sign in" not in text


def drawn(html):
    return joined(draw(document_fromstring(f"<div>{html}</div>")))


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ('<pre><span class="line">a</span><span class="line">  b</span></pre>', "```\na\n  b\n```"),
        ("<pre><div>a</div><div>b</div></pre>", "```\na\nb\n```"),
        ("<pre>a<br>b</pre>", "```\na\nb\n```"),
        ('<pre><code class="language-c++">x</code></pre>', "```c++\nx\n```"),
        ('<pre class="brush: java; toolbar: false">x</pre>', "```java\nx\n```"),
        ("<p>Call:<br><code>a<br>&nbsp;b</code></p>", "Call:\n\n```\na\n\xa0b\n```"),
        (
            '<table><tr><td class="blob-num">1</td><td class="blob-code">if x:</td></tr>'
            '<tr><td class="blob-num">2</td><td class="blob-code">    y</td></tr></table>',
            "```\nif x:\n    y\n```",
        ),
        ('<pre><span class="lineno">1</span>a\n<span class="lineno">2</span>b</pre>', "```\na\nb\n```"),
        ("<pre>\n\n</pre>x", "x"),
    ],
)
def test_code_keeps_its_lines_and_loses_its_numbers(html, markdown):
    assert drawn(html) == markdown


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<dl><dt>lamp<dd>a light<dt>oil<dd><p>fuel<p>of it</dl>", "lamp\n: a light\n\noil\n: fuel\n\nof it"),
        ('<ol start="3"><li>c<li>d</ol>', "3. c\n4. d"),
        ("<ul><li>a<ul><li>b<ul><li>c</ul></ul><li>d</ul>", "- a\n  - b\n    - c\n- d"),
        ("<blockquote><p>a<blockquote>b</blockquote></blockquote>c", "> a\n\n> > b\n\nc"),
        ("<h2>A <em>b</em></h2><p>c <a href='/x'>d</a>, <b>e</b>.</p>", "## A b\n\nc d, e."),
        ("<table role=presentation><tr><td><p>left</p></td><td><p>right</p></td></tr></table>", "left\n\nright"),
        ("<table><tr><td>a<td>b</tr></table>", "| a | b |\n| --- | --- |"),
        (
            "<table><tr><th colspan=2>a<th>b<tr><td>1<td>2<td>3</table>",
            "| a |  | b |\n| --- | --- | --- |\n| 1 | 2 | 3 |",
        ),
        (
            '<p>E <math><mi>x</mi><annotation encoding="application/x-tex">x^2</annotation></math>.</p>',
            "E $x^2$.",
        ),
        ("<p hidden>a</p><p style='Display : none'>b</p>c", "c"),
    ],
)
def test_structure_becomes_markdown(html, markdown):
    assert drawn(html) == markdown
