"""Aggregation: group versions that other API servers serve, by the APIServices that name them."""
