"""``python -m trunkline`` is the ``trunkline`` command."""

from .cli import main

if __name__ == "__main__":
    main()
