"""Check what a wheel holds: check_wheel.py WHEEL."""

from __future__ import annotations

import sys
import zipfile

PACKAGES = {"webhook_storage", "webhook_storage_presets", "webhook_storage_resolvers"}


def find_faults(names: list[str]) -> list[str]:
    """Say what is missing from a wheel's files, and what should not be there."""
    top = {name.partition("/")[0] for name in names}
    metadata = {name for name in top if name.endswith(".dist-info")}
    faults = [f"missing: {package}" for package in sorted(PACKAGES - top)]
    faults += [f"not ours: {name}" for name in sorted(top - PACKAGES - metadata)]
    typed = {f"{package}/py.typed" for package in PACKAGES}
    faults += [f"missing: {name}" for name in sorted(typed - set(names))]
    licence = "/licenses/LICENSE"
    if not any(name.endswith(licence) for name in names):
        faults.append(f"missing: {licence}")
    return faults


def main(wheel: str) -> int:
    """Print the faults of a wheel, and how many files it has."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    faults = find_faults(names)
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    sys.stdout.write(f"wheel: {len(names)} files, {len(faults)} faults\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
