"""CEL, the Common Expression Language, with Kubernetes' functions: rules of custom resources and admission policies.

``engine`` compiles and evaluates, within limits; ``library`` has Kubernetes' functions; ``values`` makes what an
expression sees of an object. Only ``engine`` and ``library`` import the library that does it.
"""
