"""kubectl with a definition whose versions a webhook converts: each version is written, read, watched and applied."""

import asyncio
import json
import threading
from pathlib import Path

import pytest
import yaml

from tests.converter import GROUP, Converter

OLD, NEW = f"addresses.v1alpha1.{GROUP}", f"addresses.v1.{GROUP}"


@pytest.fixture
def converter(tmp_path: Path):
    """The webhook, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="converter", daemon=True)
    thread.start()
    webhook = asyncio.run_coroutine_threadsafe(_made(tmp_path), loop).result(10)
    yield webhook
    asyncio.run_coroutine_threadsafe(webhook.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


async def _made(folder: Path) -> Converter:
    webhook = Converter(folder)
    await webhook.start()
    return webhook


@pytest.fixture
def addresses(cluster, converter, tmp_path):
    crd = converter.definition()
    name = f"crd/{crd['metadata']['name']}"
    cluster.kubectl("apply", "-f", _file(tmp_path, crd))
    cluster.kubectl("wait", "--for=condition=Established", name, "--timeout=10s")
    yield cluster
    cluster.kubectl("delete", name, "--wait", "--timeout=20s")


def _file(folder, *objects):
    path = folder / "objects.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    return str(path)


def _address(version, name, **spec):
    return {"apiVersion": f"{GROUP}/{version}", "kind": "Address", "metadata": {"name": name}, "spec": spec}


def _spec(cluster, resource, name):
    return json.loads(cluster.kubectl("get", resource, name, "-o", "json").stdout)["spec"]


@pytest.mark.parametrize("how", [(), ("--server-side",)], ids=["client side", "server side"])
def test_apply_in_either_version(addresses, tmp_path, how):
    old, new = _address("v1alpha1", "old", hostPort="h:1"), _address("v1", "new", host="m", port="2")
    addresses.kubectl("apply", *how, "-f", _file(tmp_path, old, new))
    assert _spec(addresses, NEW, "old") == {"host": "h", "port": "1"}
    assert _spec(addresses, OLD, "new") == {"hostPort": "m:2"}
    old["spec"]["hostPort"] = "h:9"
    addresses.kubectl("apply", *how, "-f", _file(tmp_path, old, new))
    assert _spec(addresses, NEW, "old") == {"host": "h", "port": "9"}
    again = addresses.kubectl("apply", "-f", _file(tmp_path, new)).stdout
    assert "unchanged" in again or how
    assert sorted(addresses.kubectl("get", OLD, "-o", "jsonpath={.items[*].spec.hostPort}").stdout.split()) == [
        "h:9", "m:2"
    ]  # fmt: skip
    assert "hostPort" in addresses.kubectl("explain", "addresses.spec", f"--api-version={GROUP}/v1alpha1").stdout


def test_a_webhook_that_is_away_is_named(addresses, converter, tmp_path):
    addresses.kubectl("apply", "-f", _file(tmp_path, _address("v1", "a", host="h", port="1")))
    converter.answer = lambda review: {}
    refused = addresses.kubectl("get", OLD, "a", check=False)
    assert f"conversion webhook for {GROUP}/v1, Kind=Address failed" in refused.stderr
    assert _spec(addresses, NEW, "a") == {"host": "h", "port": "1"}
