"""The pod network of this host: one bridge, a veth pair for each sandbox, host ports."""
