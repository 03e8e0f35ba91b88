"""A lab of VM-like hosts on one machine: systemd-nspawn containers, each with its own address, systemd, sshd and
Docker engine, joined by a bridge in a network namespace of its own.

By hand: ``python -m tests.lab up 3``, ``cut 2``, ``heal 2``, ``poweroff 3``, ``boot 3``, ``freeze 1``, ``down``.
In tests: the ``lab`` fixture of tests/e2e. Needs root and Debian's systemd-container, mmdebstrap, iproute2,
nftables and openssh-client. Everything the lab makes has its prefix in its name and goes with ``down``.
"""
