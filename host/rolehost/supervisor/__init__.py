"""The supervisor: parent of the role processes; imports nothing but the standard library.

It starts each role process, starts it again when it dies, replaces it in a reload, and drains
all of them in order when it is told to stop. Nothing of the deployment is read here: who starts
it has composed and checked, and hands over a :class:`~rolehost.supervisor.plan.ProcessPlan`; in a
reload a process of its own does that (:mod:`rolehost.supervisor.check_program`).
"""

from rolehost.supervisor.plan import ProcessPlan, RolePlan, become_supervisor

__all__ = ["ProcessPlan", "RolePlan", "become_supervisor"]
