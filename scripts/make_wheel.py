#!/usr/bin/env python3
"""Writes the wheel: the program as it is, and the package in python/. make_wheel.py BINARY LICENSES VERSION FOLDER

The same inputs and SOURCE_DATE_EPOCH make the same bytes. Python's standard library only (PEP 427, 376, 639).

The program lies in .data/scripts, so that `martlet` is the program itself: no Python stands between it and its signals. It
is static, so it asks no C library of any version: tags for glibc and for musl are both true. 2.17 is no need of the program,
but what every Python from 3.9 on already demands of a system; the program itself demands Linux 3.2.
"""
import base64, hashlib, os, pathlib, sys, time, zipfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
TAGS = ["py3-none-" + platform for platform in ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "musllinux_1_1_x86_64")]
FILE_TAG = "py3-none-" + ".".join(tag.split("-")[2] for tag in TAGS)

METADATA = """\
Metadata-Version: 2.4
Name: martlet
Version: {version}
Summary: Serves many LoRA adapters from one copy of a base model
License-Expression: Apache-2.0
License-File: LICENSE
License-File: third-party-licenses.txt
Project-URL: Repository, https://github.com/martlet/martlet
Keywords: lora,llm,inference,openai,peft,gguf
Classifier: Environment :: Console
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: Python :: 3
Classifier: Programming Language :: Other
Classifier: Topic :: Scientific/Engineering :: Artificial Intelligence
Classifier: Typing :: Typed
Requires-Python: >=3.9
Description-Content-Type: text/markdown

"""


def contents(binary, licenses, version):
    """Every file but RECORD, by its name in the wheel."""
    files = {f"martlet/{p.name}": p.read_bytes() for p in (ROOT / "python/martlet").iterdir() if p.is_file()}
    information = f"martlet-{version}.dist-info"
    files[f"martlet-{version}.data/scripts/martlet"] = pathlib.Path(binary).read_bytes()
    files[f"{information}/METADATA"] = (METADATA.format(version=version) + (ROOT / "python/README.md").read_text()).encode()
    files[f"{information}/WHEEL"] = "\n".join(["Wheel-Version: 1.0", "Generator: martlet", "Root-Is-Purelib: false", *("Tag: " + t for t in TAGS), ""]).encode()
    files[f"{information}/licenses/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    files[f"{information}/licenses/third-party-licenses.txt"] = pathlib.Path(licenses).read_bytes()
    return files


def record(files, name):
    def line(path, data):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        return f"{path},sha256={digest},{len(data)}\n"
    return ("".join(line(path, files[path]) for path in sorted(files)) + f"{name},,\n").encode()


def main(binary, licenses, version, folder):
    files = contents(binary, licenses, version)
    name = f"martlet-{version}.dist-info/RECORD"
    files[name] = record(files, name)
    moment = time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"]))[:6]
    path = pathlib.Path(folder) / f"martlet-{version}-{FILE_TAG}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        # What an installer reads first lies last, as the standard recommends.
        for entry in sorted(files, key=lambda p: (".dist-info/" in p, p)):
            information = zipfile.ZipInfo(entry, moment)
            information.compress_type = zipfile.ZIP_DEFLATED
            information.create_system = 3
            information.external_attr = (0o100755 if "/scripts/" in entry else 0o100644) << 16
            wheel.writestr(information, files[entry], compresslevel=9)
    print(path)


main(*sys.argv[1:])
