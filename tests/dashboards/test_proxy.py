"""Does everything work behind a real nginx, with TLS, below a path, with the lines of docs/dashboard.md?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme
from playwright.sync_api import Browser, expect

from embedded.process import HOST, Part, accepts, free_port
from tests.dashboards.conftest import EVERY_PAGE, LOOK_MS, ROOT, WAIT_S, Product, log_in, watched
from tests.dashboards.test_live import SECONDS_TO_THE_PAGE, number, send

NGINX = Path("/usr/sbin/nginx")
PREFIX = "/ml-guard"


def locations(dashboard: str) -> str:
    """nginx's lines of docs/dashboard.md, for a dashboard on another port."""
    text = (ROOT / "docs" / "dashboard.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    assert lines.count("http://127.0.0.1:8501") == 1
    return lines.replace("http://127.0.0.1:8501", dashboard)


@pytest.fixture(scope="module")
def published(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address at which nginx publishes a dashboard."""
    tmp_path = tmp_path_factory.mktemp("nginx")
    if not NGINX.exists():
        pytest.fail("this test runs nginx: install the package `nginx-light` (apt-get install nginx-light)")
    port = free_port()
    address = f"https://{HOST}:{port}{PREFIX}"
    url, dashboard = product.start_dashboard(
        prefix=PREFIX, ML_GUARD_PUBLIC_URL=address, ML_GUARD_DASHBOARD_PROXIES=HOST
    )
    certificate = trustme.CA().issue_cert(HOST)
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    temporary = "\n".join(
        f"{name}_temp_path {tmp_path}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(f"""
daemon off;
master_process off;
pid {tmp_path}/nginx.pid;
events {{}}
http {{
    access_log {tmp_path}/access.log;
    {temporary}
    server {{
        listen {HOST}:{port} ssl;
        ssl_certificate {tmp_path}/server.pem;
        ssl_certificate_key {tmp_path}/server.pem;
        {locations(url.removesuffix(f"{PREFIX}/"))}
    }}
}}
""")
    command = [str(NGINX), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"]
    nginx = Part("nginx", command, tmp_path / "nginx.log")
    nginx.wait_until(lambda: accepts(port), WAIT_S)
    yield address
    nginx.stop()
    dashboard.stop()


def test_behind_nginx_with_tls_and_a_path_prefix_every_page_works_and_follows(
    browser: Browser, product: Product, published: str
) -> None:
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(LOOK_MS)
    page = context.new_page()
    errors = watched(page)
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    log_in(page, published)
    assert page.url == f"{published}/"
    cookie = next(one for one in context.cookies() if one["name"] == "ml_guard_dashboard")
    assert (cookie["path"], cookie["secure"], cookie["httpOnly"]) == (f"{PREFIX}/", True, True)
    for query, shown in EVERY_PAGE.items():
        page.goto(f"{published}/?{query}")
        expect(page.get_by_text(shown, exact=False).first).to_be_visible()
        expect(page.locator(".state")).to_contain_text("live")
    page.get_by_role("link", name="Models", exact=True).click()
    row = "tr[data-model=churn_model_v1] [data-fact=requests]"
    expect(page.locator(row)).to_be_visible()
    before = number(page, row)
    send(product, 3)
    expect(page.locator(row)).to_have_text(f"{before + 3:,}", timeout=SECONDS_TO_THE_PAGE * 1000)
    page.get_by_role("link", name="Log out").click()
    expect(page.locator("#key")).to_be_visible()
    assert page.url == f"{published}/login"
    assert {url.partition("?")[0] for url in sockets} == {f"{published.replace('https', 'wss')}/ws"}
    assert errors == []
    context.close()


def test_behind_nginx_one_who_guesses_keys_waits_and_nobody_else(published: str) -> None:
    form, wrong = f"{published}/login", {"key": "mlg_nobody", "next": ""}
    transport = httpx.HTTPTransport(verify=False, local_address="127.0.0.2")
    with httpx.Client(transport=transport) as guessing, httpx.Client(verify=False) as other:
        assert 429 in {
            guessing.post(form, data=wrong, headers={"X-Forwarded-For": f"192.0.2.{i}"}).status_code
            for i in range(30)
        }
        assert other.post(form, data=wrong).status_code == 401


def test_without_a_cookie_nginx_leads_to_the_log_in_below_the_prefix(published: str) -> None:
    with httpx.Client(verify=False, follow_redirects=True) as client:
        answer = client.get(f"{published}/?page=health")
        assert (answer.status_code, answer.url.path) == (200, f"{PREFIX}/login")
        bare = client.get(published)
        assert (bare.status_code, bare.url.path) == (200, f"{PREFIX}/login")
