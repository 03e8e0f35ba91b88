"""Custom resources: from a CustomResourceDefinition to rows of the registry.

``schema`` compiles a version's structural schema; ``pruning``, ``defaulting`` and ``validation`` walk an object along
it; ``rows`` makes the rows, ``serving`` keeps them in the registry as definitions come and go.
"""
