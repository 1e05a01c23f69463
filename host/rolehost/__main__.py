"""``python -m rolehost`` is ``rolehost``."""

from rolehost.cli.main import main

if __name__ == "__main__":
    main()
