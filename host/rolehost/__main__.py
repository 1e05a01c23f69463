"""``python -m rolehost`` is ``rolehost``."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # `-m` puts the working directory first; nothing may be imported from it

from rolehost.cli.main import main

if __name__ == "__main__":
    main()
