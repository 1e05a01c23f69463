"""Grade plugins against criteria in three levels.

A plugin runs in a separate process (:mod:`rolehost_testing.grading.trial`), and its sources and
its package are analysed. The levels are described in docs/grades.md.
"""

from rolehost_testing.grading.criteria import CRITERIA
from rolehost_testing.grading.judging import grade
from rolehost_testing.grading.model import LEVELS, Criterion, Finding, Grade, Level, State

__all__ = ["CRITERIA", "LEVELS", "Criterion", "Finding", "Grade", "Level", "State", "grade"]
