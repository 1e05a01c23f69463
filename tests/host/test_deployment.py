"""Reading deployment files: includes, references, overrides, origins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta
from rolehost.api import Secret, Settings
from rolehost.deployment import Deployment, Origin, decode, load, read
from rolehost.deployment.decode import location
from rolehost.deployment.lines import lines
from rolehost.errors import ConfigurationError
from rolehost.messages import problem


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file into the current folder of the test; return its relative path."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "rolehost.toml") -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def loaded(path: Path | None, plugins=None, **environ: str) -> Deployment:
    return load(path, plugins=plugins, environ=environ)


def codes(path: Path, **environ: str) -> list[str]:
    return [problem.code for problem in read(path, environ=environ)[1]]


def test_without_a_file_everything_has_its_default():
    deployment = loaded(None)
    assert deployment.plugins == ()
    assert deployment.host.http.bind == "127.0.0.1:8000"
    assert deployment.name == "rolehost"


def test_a_deployment_is_named_after_its_file_or_by_itself(write):
    assert loaded(write("", "api.toml")).name == "api"
    assert loaded(write('[deployment]\nname = "front"')).name == "front"


def test_an_included_file_comes_first_and_later_values_win(write):
    write('plugins = ["a", "b"]\n[http]\nthreads = 2\nprocesses = 3\n', "conf/base.toml")
    write("[http]\nthreads = 4\n", "conf/more.toml")
    path = write(
        'include = ["conf/base.toml", "conf/more.toml"]\nplugins = ["c"]\n[http]\nprocesses = 5\n'
    )
    deployment = loaded(path)
    assert (deployment.host.http.threads, deployment.host.http.processes) == (4, 5)
    assert deployment.plugins == ("c",)
    assert deployment.origins["http.threads"] == Origin("conf/more.toml:2")
    assert deployment.origins["http.processes"] == Origin("rolehost.toml:4")


def test_an_include_is_relative_to_the_file_that_names_it(write):
    write("[http]\nthreads = 2\n", "conf/deep/inner.toml")
    write('include = ["deep/inner.toml"]', "conf/outer.toml")
    assert loaded(write('include = ["conf/outer.toml"]')).host.http.threads == 2


def test_a_file_may_be_included_twice_without_being_a_cycle(write):
    write("[http]\nthreads = 2\n", "base.toml")
    write('include = ["base.toml"]', "a.toml")
    write('include = ["base.toml"]', "b.toml")
    assert loaded(write('include = ["a.toml", "b.toml"]')).host.http.threads == 2


def test_every_enabled_plugin_has_the_line_that_enables_it(write):
    origins = loaded(write('plugins = [\n  "a", # first\n\n  "b",\n]')).origins
    assert origins["plugins.a"].text == "rolehost.toml:2"
    assert origins["plugins.b"].text == "rolehost.toml:4"


def test_variables_are_replaced_and_fill_settings_of_any_type(write):
    path = write('[http]\nbind = "${HOST:-0.0.0.0}:${PORT}"\nthreads = "${THREADS}"\n')
    http = loaded(path, PORT="81", THREADS="12").host.http
    assert (http.bind, http.threads) == ("0.0.0.0:81", 12)


def test_a_default_may_be_empty_and_two_dollars_stand_for_themselves(write):
    deployment = loaded(write('[acme]\na = "x${NOTHING:-}"\nb = "$${HOME}"\n'))
    assert deployment.sections["acme"] == {"a": "x", "b": "${HOME}"}


def test_a_value_from_a_file_is_secret_and_lacks_the_last_newline(write):
    write("hush\n", "conf/token")
    write('[acme]\ntoken = "${file:token}"\n', "conf/base.toml")
    deployment = loaded(write('include = ["conf/base.toml"]'))
    assert deployment.sections["acme"]["token"] == Secret("hush")
    assert deployment.origins["acme.token"] == Origin("conf/base.toml:2", secret=True)
    assert "hush" not in repr(deployment)


def test_the_environment_overrides_the_file(write):
    path = write("[http]\nthreads = 2\n")
    deployment = loaded(path, ROLEHOST__HTTP__THREADS="3", ROLEHOST__HTTP__BIND="unix:/run/x")
    assert (deployment.host.http.threads, deployment.host.http.bind) == (3, "unix:/run/x")
    assert deployment.origins["http.threads"].text == "environment ROLEHOST__HTTP__THREADS"


def test_dashes_of_a_section_are_underscores_in_the_environment(write):
    path = write('plugins = ["web-hooks", "under_score"]')
    deployment = loaded(path, ROLEHOST__WEB_HOOKS__KEY="1", ROLEHOST__UNDER_SCORE__KEY="2")
    assert deployment.sections == {"web-hooks": {"key": "1"}, "under_score": {"key": "2"}}


def test_text_of_the_environment_is_parsed_as_toml_unless_the_setting_is_a_text(write):
    path = write("")
    queues = loaded(path, ROLEHOST__WORKER__QUEUES='["a", "b"]').host.worker.queues
    assert queues == ("a", "b")
    assert loaded(path, ROLEHOST__DEPLOYMENT__NAME="1234").name == "1234"
    assert loaded(path, ROLEHOST__HTTP__ACCESS_LOG="false").host.http.access_log is False


def test_text_of_the_environment_is_split_at_commas_where_the_setting_wants_a_list(write):
    path = write('[worker]\nqueues = "${QUEUES}"')
    for text in ("mail, reports", '["mail", "reports"]'):
        assert loaded(path, QUEUES=text).host.worker.queues == ("mail", "reports")
    assert loaded(path, QUEUES="mail").host.worker.queues == ("mail",)


def test_a_value_of_the_environment_may_refer_to_a_file(write):
    write("hush", "secret")
    path = write("[acme]\n")
    deployment = loaded(path, ROLEHOST__ACME__TOKEN="${file:secret}")
    assert deployment.sections["acme"]["token"] == Secret("hush")


def test_plugins_of_the_command_line_win_over_environment_and_file(write):
    path = write('plugins = ["a"]')
    assert loaded(path, ROLEHOST__PLUGINS="b, c").plugins == ("b", "c")
    deployment = loaded(path, ["d"], ROLEHOST__PLUGINS="b")
    assert deployment.plugins == ("d",)
    assert deployment.origins["plugins.d"].text == "--plugins"


def test_all_problems_are_raised_at_once(write):
    path = write('[http]\nthreads = "x"\nnothing = 1\nbind = "${NO}"\n[log]\nlevel = "loud"')
    with pytest.raises(ConfigurationError) as raised:
        loaded(path)
    found = sorted(problem.code for problem in raised.value.problems)
    assert found == ["missing-variable", "unknown-key", "wrong-type", "wrong-value"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('plugins = []\n\n[acme]\nnames = [\n  "a",\n\n', 4),
        ('names = [ # [\n  ["a"],\n  ["]",\n', 3),
        ('text = """\n"one"\n[two]\n', 1),
        ("ok = '\"'\ntext = '''\nit's\n", 2),
        ('[acme]\ninner = { a = "}"', 2),
        ("[acme]\n\n[beta", 3),
        ("ok = 1\nkey", 2),
    ],
)
def test_a_document_that_ends_too_early_has_a_line(write, text: str, line: int):
    (found,) = read(write(text), environ={})[1]
    assert (found.code, found.where) == ("invalid-toml", f"rolehost.toml:{line}")


def test_a_reference_is_hidden_in_problems_of_its_own_setting(write):
    path = write('[acme]\ntoken = "${TOKEN}"\ntoken-host = "x"\ntokens = "alpha-7"\n')
    deployment = loaded(path, TOKEN="alpha-7")
    for setting, shown in {"acme.token": False, "acme": False, "acme.tokens": True}.items():
        where = location(setting, deployment.origins)
        found = problem("missing-variable", who="w", where=where, name="alpha-7")
        (redacted,) = deployment.redact([found])
        assert ("alpha-7" in redacted.what) is shown
        assert redacted.where == where


def test_a_reference_that_fails_is_one_problem_not_two(write):
    assert codes(write('[http]\nthreads = "${NO}"')) == ["missing-variable"]
    assert codes(write('plugins = ["${NO}"]')) == ["missing-variable"]


class Acme(Settings, frozen=True):
    url: str
    folder: Path = Path("data")
    token: Secret | None = None
    mode: Literal["fast", "safe"] = "safe"
    size: Annotated[int, Meta(ge=1)] = 1
    names: tuple[str, ...] = ()


def decoded(values: dict[str, object]) -> tuple[Acme | None, list[str]]:
    settings, problems = decode(
        Acme, values, section="acme", origins={}, who="x", folder=Path("/srv/conf")
    )
    return settings, [str(problem) for problem in problems]


def test_relative_paths_and_defaults_are_relative_to_the_deployment_file():
    settings, _ = decoded({"url": "u"})
    assert settings is not None
    assert settings.folder == Path("/srv/conf/data")
    settings, _ = decoded({"url": "u", "folder": "../x"})
    assert settings is not None
    assert settings.folder == Path("/srv/x")


def test_a_setting_may_be_an_optional_secret_and_text_may_come_from_a_file():
    settings, _ = decoded({"url": Secret("u"), "token": "hush"})
    assert settings == Acme(url="u", token=Secret("hush"), folder=Path("/srv/conf/data"))


def test_every_wrong_key_is_reported_and_no_secret_is_shown():
    settings, problems = decoded(
        {"url": 5, "token": ["hush"], "mode": "fsat", "size": 0, "names": ["a", 1], "x": 1}
    )
    assert settings is None
    assert len(problems) == 6
    assert "hush" not in "".join(problems)
    assert any('did you mean "fast"?' in problem for problem in problems)


KEY = st.from_regex(r"[a-z_-]{1,8}", fullmatch=True)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            KEY,
            st.sampled_from(
                ["1", "true", '"a # b"', "'[x]'", '"""\nk = 1\n"""', "[\n1,\n# no\n2]", "{a = 1}"]
            ),
            st.sampled_from(["", "# comment = 1", "\n"]),
        ),
        max_size=8,
        unique_by=lambda item: item[0],
    )
)
def test_the_line_of_every_key_is_found(items):
    text, expected = "", {}
    for key, value, after in items:
        expected[key] = text.count("\n") + 1
        text += f"{key} = {value} {after}\n"
    found = lines(text)
    assert {key: found[(key,)] for key in expected} == expected


def test_the_lines_of_tables_arrays_of_tables_and_dotted_keys_are_found():
    found = lines('a.b = 1\n["c d".e]\nf = [\n  1,\n  2,\n]\n[[g]]\nh = 1\n[[g]]\nh = 2\n')
    assert found[("a", "b")] == 1
    assert found[("c d", "e")] == 2
    assert found[("c d", "e", "f", 1)] == 5
    assert (found[("g", 0, "h")], found[("g", 1, "h")]) == (8, 10)


def test_the_keys_of_an_inline_table_are_on_the_line_of_the_table(write):
    origins = loaded(write("\nacme = {a = 1, b = {c = 2}}\n")).origins
    assert origins["acme.a"].text == "rolehost.toml:2"
    assert origins["acme.b.c"].text == "rolehost.toml:2"
