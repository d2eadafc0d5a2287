"""podman with storage of its own, and an image of Python that is made of the host's files."""

import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from serving import until

#: Parts of a standard library that no server needs.
LEFT_OUT = {"__pycache__", "idlelib", "site-packages", "dist-packages", "test", "tkinter"}


class Podman:
    """The containers and images of some tests."""

    def __init__(self):
        # podman wants the path of its state to be short.
        self.home = Path(tempfile.mkdtemp(prefix="tallyboard-"))
        # Limits that this process may give, which podman's own may not be.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        (self.home / "containers.conf").write_text(
            f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc=4096:4096"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n'
        )

    def command(self, *words):
        options = ("--root", self.home / "storage", "--runroot", self.home / "state")
        # Else podman may leave its storage mounted.
        options += ("--storage-driver=overlay", "--storage-opt=overlay.skip_mount_home=true")
        return [str(word) for word in ("podman", *options, *words)]

    def __call__(self, *words, **options):
        """Runs podman to its end, and gives what it said."""
        environment = os.environ | {"CONTAINERS_CONF": str(self.home / "containers.conf")}
        ended = subprocess.run(
            self.command(*words), env=environment, capture_output=True, text=True, **options
        )
        assert ended.returncode == 0, (words, ended.stdout, ended.stderr)
        return ended.stdout

    def python(self, container, program):
        """Runs a program of Python in a container, and gives what it said."""
        return self("exec", container, "python3", "-c", program)

    def get(self, container, port, path):
        """What a server in a container answers to a request from there."""
        program = (
            "import http.client, json, sys\n"
            f"connection = http.client.HTTPConnection('127.0.0.1', {port}, timeout=60)\n"
            f"connection.request('GET', {path!r})\n"
            "answer = connection.getresponse()\n"
            "print(json.dumps([answer.status, answer.read().decode()]))\n"
        )
        return json.loads(self.python(container, program))

    def answers(self, container, port, path):
        """Waits for the first good answer."""

        def ask():
            try:
                status, body = self.get(container, port, path)
            except AssertionError:
                # It does not listen yet.
                return None
            return (body,) if status == 200 else None

        return until(ask, f"an answer on port {port} of {container}")[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self("pod", "rm", "--all", "--force", "--time", "0")
        self("rm", "--all", "--force", "--time", "0")
        self("rmi", "--all", "--force")
        shutil.rmtree(self.home)

def libraries(files):
    """The shared libraries that programs and modules are linked with."""
    listed = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout
    return sorted(set(re.findall(r"(/\S+) \(0x", listed)))


def image_of_python(path):
    """Writes an archive with this Python, its libraries and a shell: what an image of Python has."""
    prefix = Path(sys.base_prefix).resolve()
    program = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    modules = [str(module) for module in library.glob("lib-dynload/*.so")]
    programs = ["/bin/sh", str(program), str(Path(sys.prefix, "bin", "tallyboard"))]
    native = Path(sys.prefix).glob("lib/python*/site-packages/tallyboard/*.so")
    with tarfile.open(path, "w", dereference=True) as archive:

        def keep(member):
            parts = Path(member.name).parts
            is_left_out = LEFT_OUT & set(parts) or parts[-1].startswith("config-")
            return None if is_left_out else member

        for name in ["/bin/sh", program, *libraries([*programs, *modules, *map(str, native)])]:
            archive.add(name)
        archive.add(library, filter=keep)
        for name in ("python", "python3"):
            link = tarfile.TarInfo(f"usr/local/bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, str(program)
            archive.addfile(link)
        for name, mode in (("tmp", 0o1777), ("etc", 0o755)):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, mode
            archive.addfile(directory)
        users = b"root:x:0:0::/:/bin/sh\n"
        file = tarfile.TarInfo("etc/passwd")
        file.size = len(users)
        archive.addfile(file, io.BytesIO(users))
    return prefix
