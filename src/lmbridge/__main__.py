"""`python -m lmbridge` is the command `lmbridge`."""

from lmbridge.cli.main import main

if __name__ == "__main__":
    main()
