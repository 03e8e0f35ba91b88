"""Pods that a host runs by itself, from files, whether or not there is a server; the API shows mirrors of them."""
