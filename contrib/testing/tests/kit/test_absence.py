"""Libraries that a test pretends to lack."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest
from rolehost.api import PluginInfo, hookimpl
from rolehost_testing.kit import absent


def test_an_absent_library_cannot_be_imported_or_found():
    import xml.dom

    with absent("xml", "no_such_library"):
        with pytest.raises(ModuleNotFoundError):
            import xml
        with pytest.raises(ModuleNotFoundError):
            import xml.sax
        assert importlib.util.find_spec("xml") is None
    import xml.dom.minidom

    assert sys.modules["xml.dom"] is xml.dom
    assert "no_such_library" not in sys.modules


def test_users_of_an_absent_library_are_imported_again_and_restored():
    decoder, scanner = json.decoder, json.scanner
    assert scanner.c_make_scanner is not None
    with absent("_json", forget=("json",)):
        import json as without

        assert without.scanner.c_make_scanner is None
        assert without.loads("[1]") == [1]
    assert (json.decoder, json.scanner) == (decoder, scanner)
    assert sys.modules["json.scanner"] is scanner


class Plain:
    @hookimpl
    def rolehost_plugin(self):
        return PluginInfo(api=1)


def test_a_host_does_without_a_library_as_long_as_it_is_there(host):
    here = host([Plain()], without=("xml",))
    with pytest.raises(ModuleNotFoundError):
        import xml
    here.close()
    import xml

    assert xml
