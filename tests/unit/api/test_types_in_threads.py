"""API types may be decoded for the first time by several threads at once, in a process of its own as it may crash."""

import subprocess
import sys

SCRIPT = """
import sys
from concurrent.futures import ThreadPoolExecutor

import msgspec

from shared.api.kinds import ALL

sys.setswitchinterval(1e-6)
with ThreadPoolExecutor(8) as pool:
    for resource in ALL:
        list(pool.map(lambda _, type=resource.type: msgspec.json.decode(b'{"metadata":{}}', type=type), range(16)))
"""


def test_types_are_worked_out_before_threads_use_them():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
