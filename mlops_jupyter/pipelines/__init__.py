"""Pipelines: notebooks as steps that can be trusted.

pipeline     the file ``pipeline.yaml``: named steps, and what flows between them
definition   a pipeline file that was read and checked; nothing runs before it is
step         a notebook with its parameters, as the file says it
instance     a step with one setting of its matrix (``train[depth=3]``); a step without matrix has one
reference    ``${params.x}``, ``${steps.s.outputs.o}``, ``${matrix.m}``: a value filled in later
output       a value that a step publishes by name, small ones as JSON, others as ``mlops://…``
descriptor   the small JSON object that a ``mlops://…`` reference leads to
key          the digest of everything that a step's result depends on
cache hit    a step whose key has a record: it is not run, its outputs are reused
early cut-off  a step below one that ran again, whose inputs came out equal, is a cache hit too
attempt      one execution of an instance in a kernel of its own; an MLflow run
pipeline run one walk through the graph; its event log is the truth about it

Nothing here imports papermill, nbformat, PyYAML or MLflow before it is used.
"""

from __future__ import annotations
