from __future__ import annotations

import gzip
import re
import subprocess
import sys

from .shop import ROUTES


def test_the_document_describes_the_routes_of_the_deployment(client, services):
    services.routes += ROUTES
    answer = client.simulate_get("/openapi.json")
    assert answer.headers["content-type"].startswith("application/json")
    assert {"/orders", "/openapi.json"} <= set(answer.json["paths"])
    assert "/docs" not in answer.json["paths"]


def test_a_client_that_has_the_document_is_told_so(client):
    first = client.simulate_get("/openapi.json")
    again = client.simulate_get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == first.headers["etag"]
    other = client.simulate_get("/openapi.json", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


def test_all_the_page_loads_is_served_here_and_may_be_kept_for_long(client):
    page = client.simulate_get("/docs")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert [link for link in links if "//" in link] == []
    for link in links:
        if not link.startswith("data:"):
            answer = client.simulate_get("/" + link)
            assert answer.status_code == 200
            if "assets" in link:
                assert "immutable" in answer.headers["cache-control"]


def test_the_page_may_load_nothing_from_elsewhere(client):
    policy = client.simulate_get("/docs").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_files_are_compressed_for_clients_that_take_it(client):
    link = re.search(r'src="([^"]+swagger-ui.js)"', client.simulate_get("/docs").text)[1]
    plain = client.simulate_get("/" + link)
    packed = client.simulate_get("/" + link, headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content
    assert len(packed.content) < len(plain.content) / 2
    assert plain.headers["vary"] == "Accept-Encoding"


def test_files_of_other_versions_and_names_are_not_found(client):
    link = re.search(r'src="([^"]+)/start.js"', client.simulate_get("/docs").text)[1]
    assert client.simulate_get("/docs/assets/0.0.0/start.js").status_code == 404
    assert client.simulate_get(f"/{link}/docs.html").status_code == 404


def test_the_page_can_be_turned_off(client_with):
    assert client_with(page=False).simulate_get("/docs").status_code == 404


def test_document_and_page_stand_under_the_prefix(client_with):
    client = client_with(prefix="/internal")
    assert client.simulate_get("/internal/openapi.json").status_code == 200
    assert client.simulate_get("/internal/docs").status_code == 200


def test_declaring_imports_no_user_interface():
    script = """
import sys
from rolehost.api import DeclareContext
from rolehost_openapi import plugin
from rolehost_openapi.settings import OpenapiSettings
plugin.rolehost_routes(DeclareContext(plugin="openapi", settings=OpenapiSettings(), deployment=""))
assert "offapi" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
