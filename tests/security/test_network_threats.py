"""Rows 29 to 31 and the faults of a fetch: where a page may come from, and how much of it."""

from __future__ import annotations

import asyncio
import gzip
import resource
import threading
import zlib

import pytest

from fathom.core.errors import ToolError
from fathom.tools.addresses import FetchPolicy, checked_addresses, refusal, resolve
from fathom.tools.extract.charset import decode
from fathom.tools.fetch import fetch

BAD = [
    *(
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
    ),
    *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1"),
    *("2001::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::", "fc00::1", "fe80::1", "fe80::1%eth0", "fec0::1"),
    *("ff02::1", "3fff::1", "5f00::1"),
]
GOOD = ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"]


@pytest.mark.parametrize("address", BAD)
def test_29_private_and_odd_addresses_are_refused(address):
    assert refusal(address)


@pytest.mark.parametrize("address", GOOD)
def test_29_public_addresses_are_not(address):
    assert refusal(address) == ""


@pytest.mark.parametrize("name", ["localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "[::1]", "0"])
def test_29_names_that_resolve_to_this_machine_are_refused(name):
    with pytest.raises(ToolError, match=r"not a public address|could not be resolved|not a valid address"):
        asyncio.run(fetch(f"http://{name}/", FetchPolicy()))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/x",
        "gopher://example.com/",
        "javascript:alert(1)",
        "http://",
        "//example.com/",
        "http://user:password@example.com/",
        "http://example.com:22/",
        "http://example.com:99999/",
        "http://exa mple.com/",
        "",
    ],
)
def test_29_only_http_on_its_ports_is_opened(url):
    async def resolver(host, port):
        raise AssertionError("it must be refused before it is resolved")

    with pytest.raises(ToolError):
        asyncio.run(fetch(url, FetchPolicy(resolver=resolver)))


def test_29_one_private_address_among_public_ones_refuses_the_name():
    async def resolver(host, port):
        return ["8.8.8.8", "10.0.0.5"]

    with pytest.raises(ToolError, match=r"10\.0\.0\.5 is not a public address"):
        asyncio.run(checked_addresses("example.com", 80, resolver))


def test_a_name_that_does_not_exist_is_told():
    with pytest.raises(ToolError, match="could not be resolved"):
        asyncio.run(resolve("no-such-name.invalid", 80))


def policy(port, **options):
    return FetchPolicy(allow_loopback=True, ports=frozenset({port}), **options)


def get(port, path="/", **options):
    return asyncio.run(fetch(f"http://127.0.0.1:{port}{path}", policy(port, **options)))


def test_30_a_name_is_resolved_once_and_the_connection_goes_to_that_address(serving):
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    hosts = []

    async def flipping(host, port):
        return next(answers)

    def answer(request):
        hosts.append(request.headers["Host"])
        request.reply(200, b"<p>here</p>")

    with serving(answer) as port:
        page = asyncio.run(fetch(f"http://rebinding.example:{port}/", policy(port, resolver=flipping)))
    assert page.data == b"<p>here</p>" and page.kind == "html"
    assert hosts == [f"rebinding.example:{port}"]
    assert next(answers) == ["10.0.0.1"]  # it was not asked for


def test_30_every_redirect_is_checked(serving):
    async def resolver(host, port):
        return {"first.example": ["127.0.0.1"], "second.example": ["192.168.0.1"]}[host]

    def answer(request):
        request.reply(302, Location=f"http://second.example:{port}/")

    with serving(answer) as port, pytest.raises(ToolError, match=r"second\.example was not opened"):
        asyncio.run(fetch(f"http://first.example:{port}/", policy(port, resolver=resolver)))


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "http://127.0.0.1:22/", "http://169.254.169.254:{port}/latest/meta-data", "http://["],
)
def test_30_a_redirect_to_a_refused_address_is_refused(serving, target):
    def answer(request):
        request.reply(302, Location=target.format(port=port))

    with serving(answer) as port, pytest.raises(ToolError):
        get(port)


def test_30_redirects_end_after_five_hops(serving):
    seen = []

    def answer(request):
        seen.append(request.path)
        request.reply(302, Location=f"/{len(seen)}")

    with serving(answer) as port, pytest.raises(ToolError, match="more than 5 redirects"):
        get(port)
    assert len(seen) == 6


def test_30_redirects_end_in_their_time_though_each_is_quick_enough(serving):
    released = threading.Event()

    def answer(request):
        if request.path == "/":
            request.reply(302, Location="/slow")
        else:
            released.wait(20)

    with serving(answer) as port:
        try:
            with pytest.raises(ToolError, match=r"its redirects did not end within 0\.3 s"):
                get(port, redirects_s=0.3)
        finally:
            released.set()


def test_30_the_time_of_redirects_does_not_cut_the_page_that_they_lead_to(serving):
    begun = threading.Event()

    def answer(request):
        if request.path == "/":
            request.reply(302, Location="/page")
            return
        request.send_response(200)
        request.send_header("Content-Type", "text/html")
        request.end_headers()
        request.wfile.write(b"<p>be")
        begun.wait(2.0)  # nobody sets it: the body takes longer than redirects may
        request.wfile.write(b"gun")

    with serving(answer) as port:
        assert get(port, redirects_s=1.0).data == b"<p>begun"


def test_a_redirect_is_followed_and_cookies_are_not_sent(serving):
    cookies = []

    def answer(request):
        cookies.append(request.headers.get("Cookie"))
        if request.path == "/":
            request.reply(301, Location="/next", Set_Cookie="id=1; Path=/")
        else:
            request.reply(200, b"<p>done</p>")

    with serving(answer) as port:
        page = get(port)
    assert page.url.endswith("/next") and cookies == [None, None]


def test_an_error_tells_status_and_body(serving):
    def answer(request):
        request.reply(404, b"no such page")

    with serving(answer) as port, pytest.raises(ToolError, match="answered 404 Not Found: no such page"):
        get(port)


@pytest.mark.parametrize("packing", ["plain", "gzip", "deflate"])
def test_a_page_arrives_whole_however_it_is_packed(serving, packing):
    text = b"<p>lamp</p>" * 5000
    pack = {"plain": bytes, "gzip": gzip.compress, "deflate": zlib.compress}[packing]
    headers = {} if packing == "plain" else {"Content_Encoding": packing}
    with serving(lambda request: request.reply(200, pack(text), **headers)) as port:
        assert get(port).data == text


def test_a_huge_page_is_given_up_at_the_limit(serving):
    def answer(request):
        request.send_response(200)
        request.send_header("Content-Type", "text/html")
        request.end_headers()
        try:
            while True:
                request.wfile.write(b"x" * 65536)
        except OSError:
            return

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serving(answer) as port, pytest.raises(ToolError, match="larger than 10 MB"):
        get(port)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 50


def test_a_page_that_says_that_it_is_huge_is_not_begun(serving):
    sent = []

    def answer(request):
        request.send_response(200)
        request.send_header("Content-Length", str(200 * 2**20))
        request.end_headers()
        try:
            for _ in range(3200):
                request.wfile.write(bytes(65536))
                sent.append(65536)
        except OSError:
            return

    with serving(answer) as port, pytest.raises(ToolError, match="larger than 10 MB"):
        get(port)
    assert sum(sent) < 50 * 2**20


def test_a_page_that_is_longer_than_it_says_ends_where_it_said(serving):
    with serving(lambda request: request.reply(200, b"<p>lamp" + b"x" * 5000, Content_Length="7")) as port:
        assert get(port).data == b"<p>lamp"


@pytest.mark.parametrize("encoding", ["euc-kr", "shift_jis", "gb18030", "big5"])
@pytest.mark.parametrize("says", ["header", "meta", "both, wrongly", "nothing"])
def test_a_page_in_any_charset_is_read(serving, encoding, says):
    words = {
        "euc-kr": "등대지기는 저녁마다 등불을 켜고 날씨를 적었다.",
        "shift_jis": "灯台守は毎晩ランプに火をともし、天気を書きとめた。",
        "gb18030": "灯塔看守人每天晚上点亮灯，记下天气。",
        "big5": "燈塔看守人每天晚上點亮燈，記下天氣。",
    }[encoding]
    named = {"header": "", "meta": encoding, "both, wrongly": "utf-8", "nothing": ""}[says]
    page = f"<meta charset={named}>" * bool(named) + f"<p>{words * 4}</p>"
    header = {"header": f"; charset={encoding}", "both, wrongly": "; charset=utf-8"}.get(says, "")

    def answer(request):
        request.reply(200, page.encode(encoding), Content_Type="text/html" + header)

    with serving(answer) as port:
        fetched = get(port)
    assert words in decode(fetched.data, fetched.charset)


def test_35_a_gzip_bomb_is_given_up_at_the_limit(serving):
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def answer(request):
        request.reply(200, bomb, Content_Encoding="gzip")

    with serving(answer) as port, pytest.raises(ToolError, match="larger than 10 MB"):
        get(port)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 50


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (b"not gzip at all", {"Content_Encoding": "gzip"}, "could not be unpacked"),
        (b"x", {"Content_Encoding": "br"}, "was not asked for"),
        (b"\x89PNG", {"Content_Type": "image/png"}, "cannot be read as text"),
        (b"short", {"Content_Length": "1000"}, "broke off"),
    ],
)
def test_bodies_that_cannot_be_used_are_told(serving, body, headers, said):
    def answer(request):
        request.close_connection = True
        request.reply(200, body, **headers)

    with serving(answer) as port, pytest.raises(ToolError, match=said):
        get(port)


def test_a_server_that_hangs_ends_at_the_deadline(serving):
    released = threading.Event()

    def answer(request):
        request.send_response(200)
        request.end_headers()
        released.wait(20)

    with serving(answer) as port:
        try:
            with pytest.raises(ToolError, match="did not answer within"):
                get(port, total_s=0.3)
        finally:
            released.set()


def test_a_document_is_known_by_its_bytes_and_an_archive_is_refused(serving):
    with serving(lambda request: request.reply(200, b"PK\x03\x04 ... word/document.xml ...")) as port:
        assert get(port).kind == "docx"
    with (
        serving(lambda request: request.reply(200, b"PK\x03\x04 ...")) as port,
        pytest.raises(ToolError, match="archive"),
    ):
        get(port)


def test_a_pdf_is_known_by_its_first_bytes(serving):
    with serving(lambda request: request.reply(200, b"%PDF-1.7 ...")) as port:
        assert get(port).kind == "pdf"


def test_nobody_at_the_address_is_told(serving):
    with serving(lambda request: None) as port:
        pass
    with pytest.raises(ToolError, match="could not be reached"):
        get(port)
