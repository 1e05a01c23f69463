"""``python -m rolehost.supervisor``: run the plan that is in the environment."""

import os
import sys

from rolehost.supervisor.parent import supervise
from rolehost.supervisor.plan import PLAN_VARIABLE, ProcessPlan

if __name__ == "__main__":
    plan = os.environ.pop(PLAN_VARIABLE, "")
    if not plan:
        sys.exit("start the supervisor with rolehost run")
    sys.exit(supervise(ProcessPlan.from_json(plan)))
