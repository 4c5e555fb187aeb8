"""Plug-ins are found by entry point, imported on demand, and their faults named."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from webhook_storage import registry
from webhook_storage.errors import ConfigurationError, MissingExtraError, UnknownPluginError

GROUP = "webhook_storage_test.resolvers"
COMPANY = Path(__file__).parents[1] / "plugins" / "company_resolver"

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs a distribution with one entry point and one module."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def make(distribution: str, entry: str, code: str, group: str = GROUP) -> None:
        metadata = tmp_path / f"{distribution}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
        module = entry.partition("=")[2].partition(":")[0].strip()
        (tmp_path / f"{module}.py").write_text(code)

    registry._scan.cache_clear()
    yield make
    registry._scan.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("plug_"):
            del sys.modules[name]


def test_names_lists_without_importing(install: Install) -> None:
    """Listing plug-ins imports none of them."""
    install("one", "beta = plug_one:Thing", "raise RuntimeError")
    install("two", "alpha = plug_two:Thing", "raise RuntimeError")
    assert registry.names(GROUP) == ("alpha", "beta")
    assert "plug_one" not in sys.modules


def test_load_imports_what_the_entry_point_names(install: Install) -> None:
    """Loading gives the object itself."""
    install("one", "thing = plug_good:Thing", "Thing = 'the thing'")
    assert registry.load(GROUP, "thing") == "the thing"


def test_unknown_name_suggests_the_nearest(install: Install) -> None:
    """A misspelt name is answered with the nearest known one and all known ones."""
    install("one", "vault = plug_vault:Thing", "")
    with pytest.raises(UnknownPluginError) as caught:
        registry.load(GROUP, "valt")
    assert str(caught.value) == (
        'There is no resolver "valt". Did you mean "vault"? Installed: vault.'
    )


def test_unknown_name_without_plugins() -> None:
    """Without any plug-in the error says that there is none, and suggests nothing."""
    with pytest.raises(UnknownPluginError) as caught:
        registry.load("webhook_storage_test.nothing", "vault")
    assert str(caught.value) == 'There is no nothing "vault". Installed: none.'


def test_two_distributions_with_one_name_are_both_named(install: Install) -> None:
    """A name that two distributions claim is nobody's."""
    install("first-dist", "same = plug_first:Thing", "Thing = 1")
    install("second-dist", "same = plug_second:Thing", "Thing = 2")
    assert registry.names(GROUP) == ("same",)
    with pytest.raises(ConfigurationError, match="first-dist and second-dist"):
        registry.load(GROUP, "same")


def test_a_scheme_of_ours_that_another_distribution_claims_is_nobodys(
    install: Install,
) -> None:
    """Nobody takes the place of a resolver that comes with the library: both are named."""
    install("imposter", "env = plug_imposter:Thing", "raise RuntimeError", registry.RESOLVERS)
    told = 'More than one distribution offers a resolver "env": imposter and webhook-storage.'
    with pytest.raises(ConfigurationError, match=re.escape(told)) as caught:
        registry.load(registry.RESOLVERS, "env")
    assert "Uninstall all but one of them." == caught.value.hint
    assert "plug_imposter" not in sys.modules


def test_missing_dependency_names_the_module_and_the_distribution(install: Install) -> None:
    """A plug-in whose own dependency is missing is not called unknown."""
    install("one", "thing = plug_needy:Thing", "import plug_absent_dependency")
    with pytest.raises(ConfigurationError) as caught:
        registry.load(GROUP, "thing")
    assert str(caught.value) == (
        'The resolver "thing" of the distribution one cannot be imported: '
        'there is no module "plug_absent_dependency".'
    )
    assert not isinstance(caught.value, UnknownPluginError)


def test_missing_extra_passes_as_it_is(install: Install) -> None:
    """A module that says which extra it needs is taken at its word."""
    code = (
        "from webhook_storage.errors import MissingExtraError\n"
        "raise MissingExtraError('needs hvac', extra='vault')"
    )
    install("one", "thing = plug_extra:Thing", code)
    with pytest.raises(MissingExtraError) as caught:
        registry.load(GROUP, "thing")
    assert caught.value.extra == "vault"


@pytest.mark.parametrize(("code", "kind"), [("1 / 0", "ZeroDivisionError"), ("", "AttributeError")])
def test_broken_plugin_is_named(install: Install, code: str, kind: str) -> None:
    """A plug-in that cannot be imported is named with its distribution and the kind of fault."""
    install("one", f"thing = plug_broken_{kind}:Thing", code)
    with pytest.raises(ConfigurationError) as caught:
        registry.load(GROUP, "thing")
    assert str(caught.value) == (
        f'The resolver "thing" of the distribution one cannot be imported: {kind}.'
    )


@pytest.mark.parametrize(
    ("word", "expected"),
    [("heders", "headers"), ("HEADERS", "headers"), ("zzz", None)],
)
def test_nearest(word: str, expected: str | None) -> None:
    """The nearest word is found whatever its case, and none is made up."""
    assert registry.nearest(word, ["headers", "params"]) == expected


def test_did_you_mean_is_empty_when_nothing_is_near() -> None:
    """Nothing is appended to a message when no known word is near."""
    assert registry.did_you_mean("zzz", ["headers"]) == ""


def test_company_resolver_is_short() -> None:
    """A resolver of one's own is a module of less than 60 lines, blank ones included."""
    module = COMPANY / "src" / "company_resolver" / "__init__.py"
    assert len(module.read_text().splitlines()) < 60


def test_company_resolver_is_found_once_it_is_installed(tmp_path: Path) -> None:
    """A resolver in a distribution of its own is found by its entry point, and answers."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(tmp_path / "site")]
    subprocess.run([*install, *options, str(COMPANY)], check=True, capture_output=True)
    (tmp_path / "secrets.json").write_text('{"billing/gateway": {"token": "of-acme"}}')
    program = """
import sys
sys.path[:0] = sys.argv[2:]
from webhook_storage import registry
from webhook_storage.resolution import Resolution
from webhook_storage.template import Reference
sys.path.append(sys.argv[1])
resolver = registry.load(registry.RESOLVERS, "acme")()
known = Reference("billing/gateway", "acme", field="token")
wrong = Reference("billing/gatewy", "acme", field="token")
answers = Resolution([resolver]).resolve([known, wrong])
print(answers[known].outcome.value.reveal(), type(answers[wrong].outcome).__name__)
"""
    here = [path for path in sys.path if path]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "site"), *here],
        check=True,
        capture_output=True,
        text=True,
        env={"ACME_SECRETS": str(tmp_path / "secrets.json")},
    )
    assert done.stdout.split() == ["of-acme", "NotFound"]
