"""The supervisor: parent of the role processes; imports only the standard library.

The supervisor does not read the deployment. ``rolehost run`` composes the deployment and hands
over a :class:`~rolehost.supervisor.plan.ProcessPlan`; in a reload, a separate process does so
(:mod:`rolehost.supervisor.check_program`).
"""
