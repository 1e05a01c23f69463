"""Check that a commit changes nothing but comments and docstrings.

    python -m scripts.same_tree               HEAD, compared with its parent
    python -m scripts.same_tree a1b2c3 d4e5f6 two commits

Compares the syntax tree of each Python file that differs, without its docstrings. Prints the files
whose trees differ; the exit status is 1 if there are any.
"""

from __future__ import annotations

import ast
import subprocess
import sys

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def git(*arguments: str) -> str:
    """Return the output of a git command."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout


def tree(commit: str, path: str) -> str:
    """Return the syntax tree of a file as text, without docstrings."""
    module = ast.parse(git("show", f"{commit}:{path}"))
    for node in ast.walk(module):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(module)


def differing(before: str, after: str) -> list[str]:
    """Return the Python files that were added, removed or renamed, or whose code changed."""
    found = []
    for line in git("diff", "--name-status", before, after, "--", "*.py").splitlines():
        status, path, *_ = line.split("\t")
        if status != "M" or tree(before, path) != tree(after, path):
            found.append(path)
    return found


def main() -> int:
    """Compare two commits; return the exit status."""
    before, after = sys.argv[1:3] if len(sys.argv) > 2 else ("HEAD~1", "HEAD")
    found = differing(before, after)
    for path in found:
        print(f"the syntax tree differs: {path}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
