"""``longboat token``: join tokens, kept as Kubernetes bootstrap token Secrets, made and ended through the API."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

from deploy.cluster import Connection, connect
from shared import join
from shared.api.errors import NotFound
from shared.api.kinds import SECRETS
from shared.api.meta import timestamp
from shared.work.clock import Clock, SystemClock

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST = timedelta(days=3650)


class DurationError(ValueError):
    """A duration that cannot be read; the message shows what can."""


def duration(text: str) -> timedelta:
    """``90s``, ``30m``, ``24h``, ``7d`` or a mix (``1h30m``). Raises DurationError."""
    parts = re.findall(r"(\d+)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise DurationError(f"--ttl: {text!r} is not a duration; write for example 30m, 24h or 7d")
    found = timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))
    if not timedelta(0) < found <= LONGEST:
        raise DurationError(f"--ttl: {text} is not between 1s and {LONGEST.days}d")
    return found


def id_of(text: str) -> str:
    """The id of a token, given that or the whole token."""
    return text.split(".")[1] if text.startswith("lb1.") else text


async def create(kubeconfig: Path | None, data_dir: Path | None, *, ttl: str, description: str) -> str:
    """A new token, good from now for ``ttl``; the text to join with."""
    lifetime = duration(ttl)
    async with connect(kubeconfig, data_dir) as connection:
        return await create_with(connection, lifetime, description)


async def create_with(
    connection: Connection, lifetime: timedelta, description: str, clock: Clock = SystemClock()
) -> str:
    """The same over a connection that is open already."""
    token = join.new_token(connection.ca_digest)
    secret = join.token_secret(token.id, token.secret, clock.now() + lifetime, description)
    await connection.client.create(SECRETS, secret, join.NAMESPACE)
    return str(token)


async def table(kubeconfig: Path | None, data_dir: Path | None, clock: Clock = SystemClock()) -> list[str]:
    """A header and a line for each token; no secrets."""
    async with connect(kubeconfig, data_dir) as connection:
        secrets = await connection.client.list(SECRETS, join.NAMESPACE, field_selector=f"type={join.SECRET_TYPE}")
    rows = [("ID", "EXPIRES", "DESCRIPTION")]
    for secret in secrets.items:
        info = join.read_token(secret)
        if info is not None:
            rows.append((info.id, _expires(info.expiration, clock.now()), info.description))
    return [f"{id:<8}  {expires:<30}  {description}".rstrip() for id, expires, description in rows]


async def revoke(kubeconfig: Path | None, data_dir: Path | None, id: str) -> None:
    """Delete the token. Raises NotFound with what to do."""
    name = join.secret_name(id_of(id))
    async with connect(kubeconfig, data_dir) as connection:
        try:
            await connection.client.delete(SECRETS, name, join.NAMESPACE)
        except NotFound:
            raise NotFound(f"there is no token {id_of(id)}; `longboat token list` shows those there are") from None


def _expires(when: datetime | None, now: datetime) -> str:
    if when is None:
        return "never"
    return timestamp(when) + (" (expired)" if when <= now else "")
