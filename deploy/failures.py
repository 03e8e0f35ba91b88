"""Which errors a user can mend, and the line that says how. Anything else is a bug and keeps its traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from shared.api.errors import StatusError


def explain(error: BaseException) -> str | None:
    """One line for the user, or None for an error that nobody foresaw.

    The modules' own error classes are looked up among what is loaded: a command loads only its own part.
    """
    if isinstance(error, BaseExceptionGroup):
        texts = [explain(inner) for inner in error.exceptions]
        return next((text for text in texts if text is not None), None)
    if isinstance(error, StatusError):
        return error.message
    if "sqlite3" in sys.modules and isinstance(error, sys.modules["sqlite3"].Error):
        return f"the store: {error}"
    if isinstance(error, (*_loaded(_EXPECTED), OSError)):
        return str(error) or type(error).__name__
    return None


def is_misuse(error: BaseException) -> bool:
    """Whether the command line or a setting is wrong, so that trying again cannot help."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_misuse(inner) for inner in error.exceptions)
    return isinstance(error, tuple(_loaded(_MISUSE)))


_MISUSE = (
    ("agent.join", "JoinMisuse"),
    ("deploy.nodes.errors", "TargetError"),
    ("deploy.tokens", "DurationError"),
    ("shared.settings", "SettingsError"),
)
_EXPECTED = (
    ("agent.agent", "AgentError"),
    ("agent.identity", "IdentityError"),
    ("agent.join", "JoinError"),
    ("agent.node", "NodeError"),
    ("agent.network.base", "NetworkFailure"),
    ("agent.runtime.base", "RuntimeFailure"),
    ("controlplane.store.base", "StoreError"),
    ("controlplane.server", "ServerError"),
    ("deploy.engine", "EngineError"),
    ("deploy.local", "LocalError"),
    ("deploy.nodes.errors", "NodeError"),
    ("deploy.samples.image", "ImageError"),
    ("deploy.services", "ServiceError"),
    ("deploy.tokens", "DurationError"),
    ("shared.client.kubeconfig", "KubeconfigError"),
    ("shared.join", "TokenError"),
    ("shared.tls", "PkiError"),
    ("shared.settings", "SettingsError"),
)


def _loaded(classes: Iterable[tuple[str, str]]) -> list[type[BaseException]]:
    found = []
    for module, name in classes:
        if module in sys.modules and hasattr(sys.modules[module], name):
            found.append(getattr(sys.modules[module], name))
    return found
