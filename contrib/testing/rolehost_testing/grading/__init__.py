"""Grades of plugins: what can be seen of one, held against criteria in three levels.

A plugin is tried in a process of its own (:mod:`rolehost_testing.grading.trial`), its sources
and its package are read. The levels are described in docs/grades.md.
"""

from rolehost_testing.grading.criteria import CRITERIA
from rolehost_testing.grading.judging import grade
from rolehost_testing.grading.model import LEVELS, Criterion, Finding, Grade, Level, State

__all__ = ["CRITERIA", "LEVELS", "Criterion", "Finding", "Grade", "Level", "State", "grade"]
