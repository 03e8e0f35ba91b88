"""OpenAPI: what clients explain, complete and validate by, of exactly what is served.

One module a concept: ``parameters`` and ``operations`` make paths of a kind's row, ``schemas`` its definitions,
``documents`` puts both together (v3, one for each group version), ``swagger`` makes the one document of v2 of them,
``gnostic`` writes that as protobuf, ``packed`` keeps bytes, ``serving`` answers requests. All but ``serving`` is pure.
"""
