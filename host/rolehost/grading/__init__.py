"""Grades of plugins: what can be seen of one, held against criteria in three levels.

A plugin is tried in a process of its own (:mod:`rolehost.grading.trial`), its sources and its
package are read. The levels are described in docs/grades.md.
"""

from rolehost.grading.criteria import CRITERIA
from rolehost.grading.judging import grade
from rolehost.grading.model import LEVELS, Criterion, Finding, Grade, Level, State

__all__ = ["CRITERIA", "LEVELS", "Criterion", "Finding", "Grade", "Level", "State", "grade"]
