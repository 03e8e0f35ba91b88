"""Bodies in Kubernetes' protobuf: kubectl's typed commands (create namespace, certificate approve, drain) and Go
clients send them without asking; answers are always JSON, which all of them take.

The field numbers are data (``fields.json``, made by ``extract``). Pure.
"""

from controlplane.apiserver.protobuf.decode import MEDIA_TYPE, decode

__all__ = ["MEDIA_TYPE", "decode"]
