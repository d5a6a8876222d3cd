"""What the ledger must know of the disk that it is on."""

from pathlib import Path

NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs", "fuse.sshfs")
"""File systems on which locks and SQLite's shared memory may not hold between machines."""


def network_file_system(folder: Path) -> str | None:
    """The kind of network file system that a folder is on; None where it is a local one or nobody says."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return network_kind(folder.resolve(), mounts)


def network_kind(folder: Path, mounts: list[str]) -> str | None:
    """The same from the lines of `mountinfo`: the deepest mount point counts, of equal ones the last."""
    deepest, kind = -1, ""
    for line in mounts:
        left, _, right = line.partition(" - ")
        point = Path(left.split()[4].replace("\\040", " "))
        if folder.is_relative_to(point) and len(point.parts) >= deepest:
            deepest, kind = len(point.parts), right.split()[0]
    return kind if kind in NETWORK else None
