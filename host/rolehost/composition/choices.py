"""The backend of each storage kind that something needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rolehost.api.contributions import Backend
from rolehost.composition.declare import Contributions
from rolehost.composition.model import Owned, Plugin
from rolehost.composition.needs import Need, needs
from rolehost.composition.report import Report
from rolehost.storage import CAPABILITIES, KINDS, Kind
from rolehost.suggest import did_you_mean, one_of

#: First-party plugins that offer each kind, for advice.
OFFERS: dict[Kind, tuple[str, ...]] = {
    "database": ("embedded", "postgres"),
    "cache": ("embedded", "redis", "memcached"),
    "queue": ("embedded", "redis", "postgres"),
    "stream": ("embedded", "kafka"),
}


def choose(
    plugins: Sequence[Plugin],
    contributions: Contributions,
    report: Report,
    known: set[str],
) -> dict[Kind, Owned[Backend]]:
    """Return the chosen backend of each needed kind, in the order of ``KINDS``.

    Args:
        plugins: enabled plugins.
        contributions: what they gave.
        report: takes what is missing, ambiguous or not able enough.
        known: names of all installed plugins, for advice.
    """
    reasons = needs(plugins, contributions, report)
    offered = contributions.of(Backend)
    for owned in offered:
        _check_offer(owned, report)
    chosen: dict[Kind, Owned[Backend]] = {}
    for kind in KINDS:
        mine = [need for need in reasons if need.kind == kind]
        if mine:
            candidates = [owned for owned in offered if owned.value.kind == kind]
            backend = _pick(kind, candidates, mine, report, known)
            if backend is not None:
                _check_ability(backend, mine, report)
                chosen[kind] = backend
    for backend in chosen.values():
        _check_place(backend, chosen, report)
    return chosen


def _pick(
    kind: Kind,
    candidates: Sequence[Owned[Backend]],
    reasons: Sequence[Need],
    report: Report,
    known: set[str],
) -> Owned[Backend] | None:
    named = getattr(report.deployment.host.storage, kind)
    names = sorted({owned.value.name for owned in candidates})
    if named is not None:
        match = next((owned for owned in candidates if owned.value.name == named), None)
        # A file that a fleet shares names what only some of its deployments have.
        shared = not names and not any(need.plugin for need in reasons)
        needing = sorted({need.plugin for need in reasons if need.plugin})
        if match is None and report.degraded and needing:
            why = ", ".join(dict.fromkeys(f"{need.plugin} ({need.why})" for need in reasons[:5]))
            _left_out(kind, needing, why, report)
        elif match is None and not shared and not report.incomplete:
            report.add(
                "unknown-backend",
                report.at(f"storage.{kind}"),
                f"no enabled plugin offers a {kind} backend named {named}",
                expected=f"one of {one_of(names)}",
                got=named,
                fix=did_you_mean(named, names) or _advice(kind, known),
            )
        return match
    if len(names) == 1:
        return candidates[0]
    if names:
        report.add(
            "ambiguous-backend",
            "; ".join(owned.site for owned in candidates),
            f"{len(names)} backends are offered for {kind}, and none is chosen",
            expected=f'a choice: [storage] {kind} = "{names[0]}"',
            got=", ".join(f"{owned.value.name} of {owned.plugin}" for owned in candidates),
            fix=f"set storage.{kind} to one of {', '.join(names)}",
        )
    elif not report.incomplete:
        _nothing_offered(kind, reasons, report, known)
    return None


def _nothing_offered(kind: Kind, reasons: Sequence[Need], report: Report, known: set[str]) -> None:
    plugins = sorted({need.plugin for need in reasons if need.plugin})
    why = ", ".join(dict.fromkeys(f"{need.plugin} ({need.why})" for need in reasons[:5]))
    if report.degraded and plugins:
        _left_out(kind, plugins, why, report)
        return
    report.add(
        "missing-storage",
        "; ".join(report.enabled_at(plugin) for plugin in plugins) or "[storage]",
        f"nothing offers the {kind} that is needed",
        expected=f"an enabled plugin with a {kind} backend, for {why}",
        got="no such backend",
        fix=_advice(kind, known),
    )


def _left_out(kind: Kind, plugins: Sequence[str], why: str, report: Report) -> None:
    """Report what plugins need and perhaps a degraded one would have offered."""
    names = ", ".join(report.degraded)
    report.add(
        "degraded-storage",
        "; ".join(report.enabled_at(plugin) for plugin in plugins),
        f"nothing offers the {kind} that is needed, for plugins have failed",
        who=report.whose(plugins),
        expected=f"an enabled plugin with a {kind} backend, for {why}",
        got=f"no such backend; degraded: {names}",
        fix=f"mend {names}; rolehost plugins says what is wrong",
    )


def _advice(kind: Kind, known: set[str]) -> str:
    here = [name for name in OFFERS[kind] if name in known]
    if here:
        return f"add {' or '.join(here)} to plugins"
    return "install and enable " + " or ".join(f"rolehost-{name}" for name in OFFERS[kind])


def _check_offer(owned: Owned[Backend], report: Report) -> None:
    backend = owned.value
    known = CAPABILITIES.get(backend.kind, {})
    for word in sorted(backend.capabilities - known.keys()):
        report.add(
            "unknown-capability",
            owned.site,
            f"the {backend.kind} backend {backend.name} declares {word!r}",
            who=report.whose([owned.plugin]),
            expected=f"capabilities of {backend.kind}: {one_of(known)}",
            got=word,
            fix=did_you_mean(word, known) or "declare only known capabilities",
        )


def _check_ability(owned: Owned[Backend], reasons: Sequence[Need], report: Report) -> None:
    backend = owned.value
    if backend.unavailable:
        report.add(
            "backend-unavailable",
            owned.site,
            f"the {backend.kind} backend {backend.name} cannot be used here",
            who=report.whose([owned.plugin]),
            expected="a usable backend",
            got=backend.unavailable,
            fix=f"install what it lacks, or choose another backend in [storage] {backend.kind}",
        )
    for need in reasons:
        lacking = sorted(need.capabilities - backend.capabilities)
        if lacking:
            report.add(
                "missing-capability",
                f"{need.why} of plugin {need.plugin}",
                f"the {backend.kind} backend {backend.name} lacks {', '.join(lacking)}",
                who=report.whose([need.plugin]),
                expected=f"{backend.kind}[{','.join(sorted(need.capabilities))}]",
                got=f"{backend.kind}[{','.join(sorted(backend.capabilities))}] of {owned.plugin}",
                fix=f"choose a {backend.kind} backend that has {', '.join(lacking)}",
            )


def _check_place(
    owned: Owned[Backend], chosen: Mapping[Kind, Owned[Backend]], report: Report
) -> None:
    """Report a backend whose data would be in another that is not the one chosen."""
    backend = owned.value
    if backend.within is None:
        return
    around = chosen.get(backend.within)
    if report.incomplete or (around is not None and around.plugin == owned.plugin):
        return
    got = f"{around.value.name} of {around.plugin}" if around else f"no {backend.within}"
    report.add(
        "backend-apart",
        _site_of(backend.kind, owned, report),
        f"the {backend.kind} backend {backend.name} keeps its data in the {backend.within} of"
        " the same plugin",
        who=report.whose([owned.plugin]),
        expected=f"the {backend.within} of {owned.plugin} beside it",
        got=got,
        fix=f"choose both of {owned.plugin} in [storage], or another {backend.kind}: "
        + ", ".join(name for name in OFFERS[backend.kind] if name != owned.plugin),
    )


def _site_of(kind: Kind, owned: Owned[Backend], report: Report) -> str:
    """Return where a backend was chosen: by name, else by enabling its plugin."""
    if getattr(report.deployment.host.storage, kind) is not None:
        return report.at(f"storage.{kind}")
    return report.enabled_at(owned.plugin)
