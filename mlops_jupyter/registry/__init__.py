"""The registry: versions of models, and how they come to be in production.

version    one registered model's state, made from a run's logged model
alias      a movable name of a version: ``champion``, ``challenger``
promotion  letting an alias name another version, if the policy allows
gate       a condition of the policy: a threshold, or at least as good as the present holder
request    a promotion that waits for approvals
approval   one person's yes to a request
ledger     the append-only record of all of this; MLflow's aliases are its projection
"""
