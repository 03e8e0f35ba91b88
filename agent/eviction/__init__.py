"""Pods that are ended so that a host which is short of something keeps working."""
