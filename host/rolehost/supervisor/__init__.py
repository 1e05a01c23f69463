"""The supervisor: parent of the role processes; imports only the standard library.

It starts each role process, restarts it when it dies or hangs, replaces it in a reload, and drains
all of them in order when it must stop. It reads nothing of the deployment: ``rolehost run``
composes and checks, and hands over a :class:`~rolehost.supervisor.plan.ProcessPlan`. In a reload a
separate process does that (:mod:`rolehost.supervisor.check_program`).
"""
