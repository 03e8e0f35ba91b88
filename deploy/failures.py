"""Which errors a user can mend, and the line that says how. Anything else is a bug and keeps its traceback."""

from __future__ import annotations

import sys

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
    if isinstance(error, (*_expected(), OSError)):
        return str(error) or type(error).__name__
    return None


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


def _expected() -> list[type[BaseException]]:
    found = []
    for module, name in _EXPECTED:
        if module in sys.modules and hasattr(sys.modules[module], name):
            found.append(getattr(sys.modules[module], name))
    return found
