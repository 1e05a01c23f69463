"""GraphiQL: served from files of the plugin, to browsers, and not in production."""

from __future__ import annotations

import gzip
import re

from rolehost_testing.kit import Response

from .conftest import Api, Serve

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def page(api: Api) -> Response:
    return api.client.get(api.path, headers=BROWSER)


def test_a_browser_gets_the_page_and_all_it_loads_is_served_here(api: Api):
    shown = page(api)
    assert shown.headers["content-type"].startswith("text/html")
    links = re.findall(r'(?:src|href)="([^"]+)"', shown.text)
    assert [link for link in links if "//" in link] == []
    for link in links:
        if not link.startswith("data:"):
            answer = api.client.get("/" + link)
            assert answer.status == 200
            assert "immutable" in answer.headers["cache-control"]
            packed = api.client.get("/" + link, headers={"accept-encoding": "gzip"})
            assert gzip.decompress(packed.body) == answer.body


def test_the_page_may_load_nothing_from_elsewhere(api: Api):
    policy = page(api).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_the_page_stands_where_the_api_does(serve: Serve):
    api = serve(path="/api/graphql")
    link = re.search(r'src="([^"]+start.js)"', page(api).text)
    assert link
    assert api.client.get(f"/api/{link[1]}").status == 200


def test_files_of_other_versions_are_not_found(api: Api):
    assert api.client.get("/graphql/assets/0/start.js").status == 404


def test_the_page_is_not_there_in_production_unless_asked_for(serve: Serve):
    assert page(serve("production")).headers["content-type"].startswith("application/")
    assert page(serve("production", graphiql=True)).headers["content-type"].startswith("text/html")
    assert page(serve(graphiql=False)).headers["content-type"].startswith("application/")


def test_an_api_client_gets_no_page(api: Api):
    assert api.get({"accept": "*/*"}, query="{ __typename }").json["data"]
