"""Prints what is inside a release as a CycloneDX 1.5 bill of materials, from the lock file: the
parts are linked statically, so no tool that looks at files can find them.

    bill.py LOCK VERSION
"""

import json
import pathlib
import sys

LICENCES = {"curl": "curl", "libiberty": "LGPL-2.0-or-later", "libunwind": "MIT", "libzstd": "BSD-3-Clause",
            "mbedtls": "Apache-2.0", "nghttp2": "MIT", "protobuf-c": "BSD-2-Clause", "zlib": "Zlib"}


def main(lock, version):
    components = []
    for line in pathlib.Path(lock).read_text().splitlines():
        if line.startswith("#"):
            continue
        name, of, archive, digest, _ = line.split()
        if name in LICENCES:
            of = of.split("+really")[-1].removesuffix("+dfsg")
            components.append({
                "type": "library", "name": name, "version": of, "purl": f"pkg:generic/{name}@{of}",
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "licenses": [{"license": {"id": LICENCES[name]}}],
                "properties": [{"name": "cprof:archive", "value": archive}]})
    print(json.dumps({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {"type": "library", "name": "cprof", "version": version,
                                   "licenses": [{"license": {"id": "Apache-2.0"}}]}},
        "components": components}, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
