"""What makes a legal name, label or key, with the texts in which Kubernetes says that one is not.

Pure. Each function returns what is wrong, a tuple that is empty when all is well. The rules and their words are
those of k8s.io/apimachinery/pkg/util/validation.
"""

from __future__ import annotations

import ipaddress
import re

_LABEL_NAME = re.compile(r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_DNS_1035 = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_DNS_LABEL.pattern}(?:\.{_DNS_LABEL.pattern})*")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENV_NAME = re.compile(r"[ -<>-~]+")
_PORT_NAME = re.compile(r"[-a-z0-9]+")
_HEADER = re.compile(r"[-A-Za-z0-9]+")

_QUALIFIED_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_DNS_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)


def _too_long(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def dns_subdomain(name: str) -> tuple[str, ...]:
    """A lower-case RFC 1123 subdomain of at most 253 characters: the name of most objects."""
    wrong = () if len(name) <= 253 else (_too_long(253),)
    return wrong if _SUBDOMAIN.fullmatch(name) else (*wrong, _SUBDOMAIN_TEXT)


def dns_label(name: str) -> tuple[str, ...]:
    """A lower-case RFC 1123 label of at most 63 characters: namespaces, containers, volumes."""
    wrong = () if len(name) <= 63 else (_too_long(63),)
    return wrong if _DNS_LABEL.fullmatch(name) else (*wrong, _LABEL_TEXT)


def dns_1035_label(name: str) -> tuple[str, ...]:
    """An RFC 1035 label, which begins with a letter: services."""
    wrong = () if len(name) <= 63 else (_too_long(63),)
    return wrong if _DNS_1035.fullmatch(name) else (*wrong, _DNS_1035_TEXT)


def path_segment(name: str) -> tuple[str, ...]:
    """Anything that can stand between two slashes of a URL."""
    if name in (".", ".."):
        return (f"may not be '{name}'",)
    return tuple(f"may not contain '{char}'" for char in "/%" if char in name)


def qualified_name(key: str) -> tuple[str, ...]:
    """``name`` or ``prefix/name``: keys of labels and annotations, finalizers, resources, condition types."""
    wrong: list[str] = []
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return (
            f"a qualified name {_QUALIFIED_TEXT} with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')",
        )
    if slash:
        if not prefix:
            wrong.append("prefix part must be non-empty")
        else:
            wrong += [f"prefix part {text}" for text in dns_subdomain(prefix)]
    if not name:
        wrong.append("name part must be non-empty")
    elif len(name) > 63:
        wrong.append(f"name part {_too_long(63)}")
    if not _LABEL_NAME.fullmatch(name):
        wrong.append(f"name part {_QUALIFIED_TEXT}")
    return tuple(wrong)


def label_value(value: str) -> tuple[str, ...]:
    """A label's value: empty, or at most 63 characters of a name."""
    wrong = () if len(value) <= 63 else (_too_long(63),)
    return wrong if not value or _LABEL_NAME.fullmatch(value) else (*wrong, _VALUE_TEXT)


def config_map_key(key: str) -> tuple[str, ...]:
    """A key of a ConfigMap or Secret: it becomes a file's name."""
    wrong = () if len(key) <= 253 else (_too_long(253),)
    if not _CONFIG_KEY.fullmatch(key):
        return (
            *wrong,
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
            "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
        )
    if key == ".":
        return (*wrong, "must not be '.'")
    if key == "..":
        return (*wrong, "must not be '..'")
    return (*wrong, "must not start with '..'") if key.startswith("..") else wrong


def environment_name(name: str) -> tuple[str, ...]:
    """An environment variable's name: printable ASCII without ``=`` (KEP-4369, stable in 1.34)."""
    if not _ENV_NAME.fullmatch(name):
        return (
            "a valid environment variable name must consist only of printable ASCII characters other than '=' "
            "(e.g. 'my-name',  or 'MY.NAME',  or 'MyName.1', regex used for validation is '[ -<>-~]+')",
        )
    return ()


def c_identifier(name: str) -> tuple[str, ...]:
    """A C identifier, such as the variables that Docker links made."""
    return () if _C_IDENTIFIER.fullmatch(name) else (
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric "
        "characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is "
        "'[A-Za-z_][A-Za-z0-9_]*')",
    )  # fmt: skip


def port_name(name: str) -> tuple[str, ...]:
    """An IANA service name: at most 15 characters, at least one of them a letter."""
    wrong: list[str] = []
    if len(name) > 15:
        wrong.append("must be no more than 15 characters long")
    if not _PORT_NAME.fullmatch(name):
        wrong.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", name):
        wrong.append("must contain at least one letter (a-z)")
    if "--" in name:
        wrong.append("must not contain consecutive hyphens")
    if name and (name[0] == "-" or name[-1] == "-"):
        wrong.append("must not begin or end with a hyphen")
    return tuple(wrong)


def port_number(port: int) -> tuple[str, ...]:
    return () if 1 <= port <= 65535 else ("must be between 1 and 65535, inclusive",)


def http_header(name: str) -> tuple[str, ...]:
    return () if _HEADER.fullmatch(name) else (
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
        "validation is '[-A-Za-z0-9]+')",
    )  # fmt: skip


def ip(address: str) -> tuple[str, ...]:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return ("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",)
    return ()


def canonical_ip(address: str) -> tuple[str, ...]:
    """An address in the one form that may name an object (IsValidIP since 1.33)."""
    if wrong := ip(address):
        return wrong
    canonical = str(ipaddress.ip_address(address))
    return () if canonical == address else (f'must be in canonical form ("{canonical}")',)


def cidr(value: str) -> tuple[str, ...]:
    """A range of addresses; bits of the host part are let pass, as Kubernetes does in its older fields."""
    try:
        if "/" not in value:
            raise ValueError
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return ("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",)
    return ()


def canonical_cidr(value: str) -> tuple[str, ...]:
    """A range of addresses in its one right form (IsValidCIDR since 1.33)."""
    if wrong := cidr(value):
        return wrong
    canonical = str(ipaddress.ip_network(value, strict=False))
    return () if canonical == value else (f'must be in canonical form ("{canonical}")',)
