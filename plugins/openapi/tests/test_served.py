from __future__ import annotations

import gzip
import re
import subprocess
import sys


def test_the_document_describes_the_routes_of_the_deployment(client):
    answer = client.get("/openapi.json")
    assert answer.headers["content-type"].startswith("application/json")
    assert {"/orders", "/openapi.json"} <= set(answer.json["paths"])
    assert "/docs" not in answer.json["paths"]


def test_a_client_that_has_the_document_is_told_so(client):
    first = client.get("/openapi.json")
    again = client.get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert again.status == 304
    assert again.body == b""
    assert again.headers["etag"] == first.headers["etag"]
    other = client.get("/openapi.json", headers={"If-None-Match": '"other"'})
    assert other.status == 200


def test_all_the_page_loads_is_served_here_and_may_be_kept_for_long(client):
    page = client.get("/docs")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert [link for link in links if "//" in link] == []
    for link in links:
        if not link.startswith("data:"):
            answer = client.get("/" + link)
            assert answer.status == 200
            if "assets" in link:
                assert "immutable" in answer.headers["cache-control"]


def test_the_page_may_load_nothing_from_elsewhere(client):
    policy = client.get("/docs").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_files_are_compressed_for_clients_that_take_it(client):
    link = re.search(r'src="([^"]+swagger-ui.js)"', client.get("/docs").text)[1]
    plain = client.get("/" + link)
    packed = client.get("/" + link, headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2
    assert plain.headers["vary"] == "Accept-Encoding"


def test_files_of_other_versions_and_names_are_not_found(client):
    link = re.search(r'src="([^"]+)/start.js"', client.get("/docs").text)[1]
    assert client.get("/docs/assets/0.0.0/start.js").status == 404
    assert client.get(f"/{link}/docs.html").status == 404


def test_the_page_can_be_turned_off(serving):
    assert serving(page=False).client.get("/docs").status == 404


def test_document_and_page_stand_under_the_prefix(serving):
    client = serving(prefix="/internal").client
    assert client.get("/internal/openapi.json").status == 200
    assert client.get("/internal/docs").status == 200


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
