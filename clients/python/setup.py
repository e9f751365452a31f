"""Makes the stubs of orrery.v1 from the protos of this repository, at build time.

Nothing generated is committed, so nothing can lag behind the protos.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROTOS = Path(os.environ.get("ORRERY_PROTOS", Path(__file__).parent / "../../proto/proto")).resolve()


def generate(into: Path) -> None:
    """Writes `orrery/v1/*_pb2.py`, their types and the service stubs."""
    # Present while building only.
    from importlib.resources import files

    from grpc_tools import protoc

    protos = sorted(PROTOS.glob("orrery/v1/*.proto"))
    if not protos:
        raise SystemExit(
            f"no protos in {PROTOS}: build in a checkout of orrery, or set ORRERY_PROTOS"
        )
    into.mkdir(parents=True, exist_ok=True)
    well_known = files("grpc_tools") / "_proto"
    arguments = ["protoc", f"-I{PROTOS}", f"-I{well_known}"]
    arguments += [f"--{kind}_out={into}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(arguments + [str(path) for path in protos]) != 0:
        raise SystemExit("protoc failed")
    (into / "orrery/v1/py.typed").touch()


class WithStubs(build_py):
    """Builds the package and the stubs beside it."""

    def run(self) -> None:
        super().run()
        generate(Path(self.build_lib))


setup(cmdclass={"build_py": WithStubs})
