"""PodSecurity: pods are held against the Pod Security Standards that their namespace's labels name.

Pure. ``policy`` reads the labels, ``baseline`` and ``restricted`` are the checks, ``evaluate`` puts them together by
version, ``admission`` acts. After k8s.io/pod-security-admission; nothing is exempt.
"""
