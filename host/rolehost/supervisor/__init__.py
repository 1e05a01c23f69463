"""The supervisor: parent of the role processes; imports only the standard library.

It does not read the deployment. ``rolehost run``, or in a reload a separate process
(:mod:`rolehost.supervisor.check_program`), composes it and hands over a
:class:`~rolehost.supervisor.plan.ProcessPlan`.
"""
