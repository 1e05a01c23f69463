from __future__ import annotations

import pytest
from rolehost_openapi.templates import translate


@pytest.mark.parametrize(
    ("template", "path", "schemas"),
    [
        ("/", "/", {}),
        ("/app/{app_id}", "/app/{app_id}", {"app_id": {"type": "string"}}),
        ("/{a}/x/{b:uuid}", "/{a}/x/{b}", {
            "a": {"type": "string"}, "b": {"type": "string", "format": "uuid"},
        }),
        ("/{n:int(min=1, max=9)}", "/{n}", {"n": {"type": "integer", "minimum": 1, "maximum": 9}}),
        ("/{n:int(2)}", "/{n}", {"n": {"type": "integer"}}),
        ("/{x:float(min=-0.5)}", "/{x}", {"x": {"type": "number", "minimum": -0.5}}),
        ("/{at:dt}", "/{at}", {"at": {"type": "string", "format": "date-time"}}),
        ("/{rest:path}", "/{rest}", {"rest": {"type": "string"}}),
        ("/{name}.{suffix}", "/{name}.{suffix}", {
            "name": {"type": "string"}, "suffix": {"type": "string"},
        }),
        ('/{code:re("[a-z]{3}")}/end', "/{code}/end", {
            "code": {"type": "string", "pattern": "^(?:[a-z]{3})$"},
        }),
    ],
)  # fmt: skip
def test_a_template_becomes_a_path_and_its_parameters(template, path, schemas):
    translated, parameters = translate(template)
    assert translated == path
    assert {each["name"]: each["schema"] for each in parameters} == schemas
    assert all(each["in"] == "path" and each["required"] for each in parameters)
