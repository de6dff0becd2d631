"""The terms of all that the static binary contains beside Martlet itself: licenses.py CHECKOUTS

Each text is printed once, under the names of those that have it.
"""
import json, pathlib, subprocess, sys

SYSTEM = {  # what the linker takes from Debian, by the package that has its terms
    "GNU C library": "libc6", "GNU C++ library and libgcc": "libstdc++6", "SQLite": "libsqlite3-0", "zlib": "zlib1g"}
NOT_LINKED = {"Tests", "Benchmarks", "Examples", "dev", "scripts", "protobuf"}  # the last is protoc's


def texts(checkouts):
    for package in sorted(p for p in checkouts.iterdir() if p.is_dir()):
        for path in sorted(package.rglob("*")):
            place = path.relative_to(package).parent
            if path.suffix not in ("", ".txt", ".md") or NOT_LINKED & set(place.parts): continue
            if path.name.upper().startswith(("LICENSE", "NOTICE", "COPYING")) and path.is_file():
                yield f"{package.name}, {place}" if place.parts else package.name, path
    information = json.loads(subprocess.check_output(["swift", "-print-target-info"]))
    resources = pathlib.Path(information["paths"]["runtimeResourcePath"])
    yield "Swift's standard libraries and Foundation", resources.parents[1] / "share/swift/LICENSE.txt"
    for name, package in SYSTEM.items(): yield name, pathlib.Path(f"/usr/share/doc/{package}/copyright")


def main(checkouts):
    owners = {}
    for name, path in texts(pathlib.Path(checkouts)):
        owners.setdefault(path.read_text(errors="replace").strip(), []).append(f"{name}: {path.name}")
    line = "=" * 80
    for text, names in owners.items(): print(f"{line}\n" + "\n".join(names) + f"\n{line}\n\n{text}\n")


main(*sys.argv[1:])
