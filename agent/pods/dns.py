"""/etc/resolv.conf of a pod, by its dnsPolicy and dnsConfig. Pure.

The rules are the kubelet's (pkg/kubelet/network/dns/dns.go). This cluster has no DNS of its own yet: a pod of policy
ClusterFirst or ClusterFirstWithHostNet gets the host's servers, as from a kubelet without ``--cluster-dns``.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.api.security import PodDNSConfig

MAX_NAMESERVERS, MAX_SEARCHES, MAX_SEARCH_CHARACTERS = 3, 32, 2048
"""What is written at most; the rest is left out, as the kubelet does."""


@dataclass(frozen=True, slots=True)
class Resolver:
    """What a resolv.conf says, in its order. An option is ``name`` or ``name:value``."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def pod_resolv_conf(host: str, policy: str, config: PodDNSConfig) -> str:
    """The text; ``host`` is what stands for the host's file."""
    if policy != "None" and config == PodDNSConfig():
        return host
    base = Resolver() if policy == "None" else parse(host)
    return text(merge(base, config))


def parse(resolv_conf: str) -> Resolver:
    """Later ``search`` and ``options`` lines replace earlier ones (resolv.conf(5))."""
    found = Resolver()
    for line in resolv_conf.splitlines():
        words = line.split()
        if not words or words[0].startswith(("#", ";")):
            continue
        if words[0] == "nameserver" and len(words) > 1:
            found = Resolver((*found.nameservers, words[1]), found.searches, found.options)
        elif words[0] in ("search", "domain"):
            found = Resolver(found.nameservers, tuple(words[1:]), found.options)
        elif words[0] == "options":
            found = Resolver(found.nameservers, found.searches, tuple(words[1:]))
    return found


def merge(base: Resolver, config: PodDNSConfig) -> Resolver:
    """The base's entries, then the pod's that are new; an option of the pod's replaces the base's of that name."""
    options = {option.partition(":")[0]: option for option in base.options}
    for option in config.options:
        options[option.name] = f"{option.name}:{option.value}" if option.value else option.name
    return Resolver(
        tuple(dict.fromkeys((*base.nameservers, *config.nameservers)))[:MAX_NAMESERVERS],
        _fitting(tuple(dict.fromkeys((*base.searches, *config.searches)))[:MAX_SEARCHES]),
        tuple(options.values()),
    )


def text(resolver: Resolver) -> str:
    """Search, servers, options."""
    lines = [f"nameserver {server}\n" for server in resolver.nameservers]
    if resolver.searches:
        lines.insert(0, f"search {' '.join(resolver.searches)}\n")
    if resolver.options:
        lines.append(f"options {' '.join(resolver.options)}\n")
    return "".join(lines)


def _fitting(searches: tuple[str, ...]) -> tuple[str, ...]:
    while len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        searches = searches[:-1]
    return searches
