"""Pages made by hand after what news sites, blogs and shops really send, each with the text that a reader would copy.

Honest in that nothing was taken out because an extractor fails on it: share bars, comments, captions, teasers of other
articles, cookie notices and tags stand where sites put them. ``PAGES`` is name -> (HTML, article).
"""

# ruff: noqa: E501 - HTML as sites send it
from __future__ import annotations

from collections.abc import Sequence

_SENTENCES = (
    "The harbour master said on Tuesday that the old lighthouse would be lit again before the first storms of winter.",
    "Engineers spent eleven months repairing the lantern room, which had been damaged when the gallery collapsed in 2019.",
    "Local fishermen, who had petitioned the council three times, welcomed the decision and offered to help with the painting.",
    "A new lamp uses a tenth of the electricity that the previous one needed, according to figures published by the trust.",
    "Critics had argued that satellite navigation made the tower redundant; the council disagreed by nine votes to four.",
    "Visitors will be able to climb the 213 steps on Sundays, provided that the wind does not exceed thirty knots.",
    "The keeper's cottage, empty since 1987, is to become a small museum of coastal rescue with room for two exhibitions.",
    "Funding came from a lottery grant, a bequest and some four hundred small donations made by people from the region.",
    "An earlier attempt in 2004 had failed because the contractor went bankrupt halfway through the first season of work.",
    "The tower, which was designed by a nephew of its first keeper, has appeared on two postage stamps and one banknote.",
    "Schools from the neighbouring islands have already booked tours until May, the trust's secretary told reporters.",
    "When the light failed during the gale of 1953, the keeper's daughter rowed out with a hand lamp and guided in two boats.",
)
_CJK = {
    "zh": (
        "灯塔将在冬季第一场风暴来临之前重新点亮，港务局负责人周二在新闻发布会上表示。",
        "工程师花了十一个月修复灯室，该灯室在二〇一九年走廊坍塌时受损严重，一度被认为无法修复。",
        "当地渔民曾三次向议会请愿，他们对这一决定表示欢迎，并主动提出帮助粉刷塔身和整理庭院。",
        "根据基金会公布的数字，新灯的耗电量只有旧灯的十分之一，维护费用也将大幅下降。",
        "批评者认为卫星导航已经使灯塔变得多余，但议会以九票对四票否决了他们的意见。",
        "游客可以在每个星期日登上二百一十三级台阶，前提是风速不超过三十节并且天气晴朗。",
    ),
    "ko": (
        "항만 책임자는 화요일 기자회견에서 겨울의 첫 폭풍이 오기 전에 등대에 다시 불을 밝히겠다고 말했다.",
        "기술자들은 2019년 난간이 무너졌을 때 크게 파손된 등실을 수리하는 데 열한 달을 보냈다.",
        "세 차례나 의회에 청원했던 지역 어민들은 이 결정을 환영하며 칠 작업을 돕겠다고 나섰다.",
        "재단이 발표한 수치에 따르면 새 등은 이전 등이 쓰던 전기의 십분의 일만 사용한다.",
        "비판하는 사람들은 위성 항법 때문에 등대가 필요 없다고 주장했지만 의회는 아홉 대 넷으로 부결했다.",
        "방문객은 바람이 삼십 노트를 넘지 않으면 일요일마다 이백열세 계단을 오를 수 있다.",
    ),
}


def _p(sentences: Sequence[str]) -> str:
    return "\n".join(f"<p>{sentence}</p>" for sentence in sentences)


def _pairs(start: int = 0) -> list[str]:
    return [f"{_SENTENCES[n]} {_SENTENCES[n + 1]}" for n in range(start, 12, 2)]


_SHARE = '<ul class="share-bar social"><li><a href="https://f.example">Share on Facebook</a></li><li><a href="https://t.example">Tweet this story</a></li><li><a href="mailto:x">Send by mail to a friend</a></li><li><a href="#p">Print this page</a></li><li><a href="#c">Read the 14 comments</a></li></ul>'
_COMMENTS = '<section id="comments" class="comments"><h2>14 comments</h2><ol class="comment-list"><li class="comment"><p>I used to visit the tower with my grandfather every summer, what wonderful news this is for all of us.</p></li><li class="comment"><p>Nine votes to four, and they could not repair the road to the school in the same year? Unbelievable, really.</p></li><li><p>Moderator: this thread is closed now, thank you all for having taken part in it so kindly.</p></li></ol><form><textarea name="c"></textarea><button>Post</button></form></section>'
_RELATED = '<aside class="related"><h3>More from the coast</h3><ul><li><a href="/1">Ferry timetable changes in spring and who is affected by it</a></li><li><a href="/2">Ten walks along the cliffs for a rainy weekend in autumn</a></li><li><a href="/3">Fish prices fall for the third month in a row</a></li><li><a href="/4">Why the bridge will not be painted before next summer</a></li><li><a href="/5">Council meets on Monday to discuss the harbour dues</a></li></ul></aside>'
_NAV = '<nav><ul><li><a href="/">Home</a></li><li><a href="/news">News</a></li><li><a href="/sport">Sport</a></li><li><a href="/weather">Weather</a></li><li><a href="/subscribe">Subscribe for two coins a week</a></li></ul></nav>'
_FOOTER = "<footer><p>© 2024 The Coast Courier. All rights reserved. Terms, privacy and cookies. Reproduction only with written permission.</p></footer>"
_COOKIES = '<div id="cookie-notice" class="cookie-notice"><p>We and our 812 partners store and access information on your device. You can change your mind at any time.</p><button>Accept all</button></div>'


def _page(title: str, body: str, head: str = "") -> str:
    return f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>{title} - The Coast Courier</title><meta property="og:title" content="{title}">{head}</head><body>{body}</body></html>'


def _news() -> tuple[str, str]:
    figure = '<figure><img src="a.jpg"><figcaption>The lighthouse in spring, seen from the western pier. Photo: A. Nobody</figcaption></figure>'
    text = _pairs()
    body = f'{_COOKIES}{_NAV}<main><article><header><h1>Old lighthouse to be lit again</h1><div class="byline">By Jane Doe, 3 May 2024, 10:15</div>{_SHARE}</header>{figure}{_p(text[:3])}<h2>Who pays for the light</h2>{_p(text[3:])}{_SHARE}{_COMMENTS}</article>{_RELATED}</main>{_FOOTER}'
    return _page("Old lighthouse to be lit again", body), "\n".join([*text[:3], "Who pays for the light", *text[3:]])


def _blog() -> tuple[str, str]:
    text = [" ".join(_SENTENCES[n : n + 3]) for n in (0, 3, 6)]
    widgets = '<div id="sidebar" class="sidebar"><div class="widget"><h3>Categories</h3><ul><li><a href="/a">Towers (12)</a></li><li><a href="/b">Boats (31)</a></li></ul></div><div class="widget"><h3>About me</h3><p>I write about towers, boats and the weather, and now and then about bread.</p></div></div>'
    caption = '<div id="attachment_12" class="wp-caption alignnone"><img src="b.jpg"><p class="wp-caption-text">Me on the gallery, trying to look brave in the wind of last October</p></div>'
    items = [
        "a torch, since the stairs are dark",
        "a coat that keeps out wind and spray",
        "something to eat on the top of it",
    ]
    body = f'<div id="page"><div id="header"><h1><a href="/">Towers and bread</a></h1></div><div id="content"><div class="post hentry"><h2 class="entry-title">A climb on Sunday</h2><div class="entry-meta">Posted on May 4 by keeper</div><div class="entry-content">{_p(text[:1])}{caption}{_p(text[1:2])}<p>What you should bring along for the climb, as I learned:</p><ul>{"".join(f"<li>{item}</li>" for item in items)}</ul>{_p(text[2:])}</div><div class="sharedaddy"><h3>Share this:</h3><ul><li><a href="#">Facebook</a></li><li><a href="#">Email</a></li></ul></div><div class="entry-utility">Posted in <a href="/t">Towers</a> | Tagged <a href="/x">stairs</a>, <a href="/y">wind</a></div></div>{_COMMENTS}</div>{widgets}</div>{_FOOTER}'
    return _page("A climb on Sunday", body), "\n".join(
        [text[0], text[1], "What you should bring along for the climb, as I learned:", *items, text[2]]
    )


def _old_layout() -> tuple[str, str]:
    text = _pairs(2)
    menu = "".join(
        f'<a href="/{n}">{n}</a><br>' for n in ("Start", "Towers", "Boats", "Guest book", "Links", "Contact")
    )
    body = f'<table width="780" cellpadding="0"><tr><td colspan="2"><font size="5">The lighthouse page</font></td></tr><tr><td width="150" bgcolor="#ccc">{menu}</td><td><font face="Arial">{"<br><br>".join(text)}</font></td></tr><tr><td colspan="2" align="center">Last changed 12.4.2001 | You are visitor number 12345</td></tr></table>'
    return _page("The lighthouse page", body), "\n".join(text)


def _cjk(language: str) -> tuple[str, str]:
    text = _CJK[language]
    related = {"zh": "相关新闻：渡轮春季时刻表将作调整", "ko": "관련 기사: 봄철 여객선 시간표 변경 안내"}[language]
    links = f'<div class="related-news"><ul>{f"<li><a href=/1>{related}</a></li>" * 5}</ul></div>'
    body = f'{_NAV}<div class="container"><div class="main-content"><h1>{text[0][:12]}</h1><div class="article-body">{_p(text)}</div>{links}</div></div>{_FOOTER}'
    return _page(text[0][:12], body), "\n".join(text)


def _with_table() -> tuple[str, str]:
    text = _pairs()
    rows = [
        ("Tower", "Height in metres", "Lit since"),
        ("Skerryvore", "48", "1844"),
        ("Bell Rock", "35", "1811"),
        ("Eddystone", "49", "1882"),
    ]
    table = (
        "<table><tr>"
        + "".join(f"<th>{cell}</th>" for cell in rows[0])
        + "</tr>"
        + "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows[1:])
        + "</table>"
    )
    body = f'{_NAV}<article class="story"><h1>Towers compared</h1>{_SHARE}{_p(text[:3])}{table}{_p(text[3:])}</article>{_RELATED}{_COMMENTS}{_FOOTER}'
    return _page("Towers compared", body), "\n".join([*text[:3], *(" ".join(row) for row in rows), *text[3:]])


def _teasers_inside() -> tuple[str, str]:
    text = _pairs()
    teaser = '<div class="read-more-box"><strong>Read more:</strong> <a href="/9">Ferry timetable changes in spring and who is affected by it</a></div>'
    newsletter = '<div class="newsletter-signup"><p>Sign up for our morning letter and never miss what happens on the coast again.</p><form><input name="m"><button>Sign up</button></form></div>'
    body = f'{_NAV}<div class="article"><h1>The vote</h1><div class="article__body">{_p(text[:2])}{teaser}{_p(text[2:4])}{newsletter}{_p(text[4:])}<div class="tags">Topics: <a href="/t">lighthouses</a>, <a href="/c">council</a></div></div></div>{_RELATED}{_FOOTER}'
    return _page("The vote", body), "\n".join(text)


def _quotes() -> tuple[str, str]:
    text = _pairs()
    quote = "I rowed because nobody else was awake, and because I could hear them calling from the water all the time."
    body = f'<header class="site-header">{_NAV}</header><main id="main"><div class="post"><h1>The night of 1953</h1><div class="post-body"><div>{text[0]}</div><div>{text[1]}</div><blockquote><p>{quote}</p></blockquote><div>{text[2]}</div><h3>After the storm</h3><div>{text[3]}</div><div>{text[4]}</div></div></div></main>{_FOOTER}'
    return _page("The night of 1953", body), "\n".join(
        [text[0], text[1], quote, text[2], "After the storm", text[3], text[4]]
    )


def _tutorial() -> tuple[str, str]:
    text = [" ".join(_SENTENCES[n : n + 2]) for n in (0, 4, 8)]
    code = "def light(lamp):\n    lamp.on = True\n    return lamp"
    body = f'{_NAV}<article class="post"><h1>Lighting a lamp in Python</h1>{_p(text[:1])}<div class="highlight"><pre><code class="language-python">{code}</code></pre></div>{_p(text[1:2])}<pre>light(Lamp())</pre>{_p(text[2:])}</article>{_COMMENTS}{_FOOTER}'
    return _page("Lighting a lamp in Python", body), "\n".join([text[0], code, text[1], "light(Lamp())", text[2]])


PAGES: dict[str, tuple[str, str]] = {
    "news": _news(),
    "blog": _blog(),
    "old layout": _old_layout(),
    "Chinese": _cjk("zh"),
    "Korean": _cjk("ko"),
    "table": _with_table(),
    "teasers": _teasers_inside(),
    "quotes": _quotes(),
    "tutorial": _tutorial(),
}
