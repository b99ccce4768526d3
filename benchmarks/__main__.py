"""Runs benchmarks: ``python -m benchmarks [NAME …] [options]``; all of them without a name."""

import importlib
import itertools
import pkgutil
import sys

import benchmarks


def names() -> list[str]:
    """What there is to run."""
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in found if name[0] != "_" and name != "__main__")


def index() -> str:
    """Each name, and the first line of what it says of itself."""
    told = []
    for name in names():
        about = importlib.import_module(f"benchmarks.{name}").__doc__ or ""
        told.append(f"{name:<20} {about.splitlines()[0]}")
    return "\n".join(told)


def run(name: str, options: list[str]) -> None:
    """One of them, with the options of its own command line."""
    print(f"\n=== {name}\n", flush=True)
    module = importlib.import_module(f"benchmarks.{name}")
    sys.argv = [f"benchmarks.{name}", *options]
    module.main()


def main() -> int:
    """Returns the exit status."""
    wanted = sys.argv[1:]
    if wanted and wanted[0] not in names():
        known = f"{__doc__}\n\n{index()}"
        if wanted[0] in ("-h", "--help"):
            print(known)
            return 0
        print(f"There is no benchmark {wanted[0]!r}.\n\n{known}", file=sys.stderr)
        return 2
    chosen = list(itertools.takewhile(names().__contains__, wanted))
    for name in chosen or names():
        run(name, wanted[len(chosen) :])
    return 0


if __name__ == "__main__":
    sys.exit(main())
