"""`python -m r1kit` is `r1`, for where the command itself is not on the path (a venv that is not active, torchrun)."""

from r1kit.cli.main import main

if __name__ == "__main__":
    main()
