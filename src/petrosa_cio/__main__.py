"""``python -m petrosa_cio``: the same as the console script."""

from petrosa_cio.cli import main

if __name__ == "__main__":
    main()
