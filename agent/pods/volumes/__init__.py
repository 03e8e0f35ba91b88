"""Volumes of pods: made on the host before the containers, kept up to date, removed after the pod."""
