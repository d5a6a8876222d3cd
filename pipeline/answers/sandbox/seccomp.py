"""The system calls that a sandboxed program may not make, as the kernel's own filter (seccomp, classic BPF).

It may have threads but start no process: so each limit of a process is a limit of all that the program does. The
others reach memory or kernel objects that no limit counts, other processes, or larger parts of the kernel.
"""

import errno
import struct

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""As `os.uname().machine` has it: AUDIT_ARCH, see linux/audit.h."""
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
CLONE_THREAD = 0x10000
X32 = 0x40000000
"""Numbers from here on are a second way into the same calls on x86_64; there are none on aarch64."""
FORBIDDEN = {
    # name: x86_64, aarch64
    "fork": (57, None),
    "vfork": (58, None),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
}
LOAD, EQUAL, AT_LEAST, HAS_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
"""Offsets in struct seccomp_data; of an argument its lower half, both machines being little-endian."""
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000


def seccomp_filter(machine: str) -> bytes:
    """An array of struct sock_filter for a machine of `ARCHITECTURES`."""
    column = list(ARCHITECTURES).index(machine)
    numbers = [number for row in FORBIDDEN.values() if (number := row[column]) is not None]
    steps = [
        _step(LOAD, ARCHITECTURE),
        _step(EQUAL, ARCHITECTURES[machine], skip_if=1),
        _step(RETURN, KILL),
        _step(LOAD, NUMBER),
    ]
    for test, number, error in [(AT_LEAST, X32, errno.EPERM), (EQUAL, CLONE3, errno.ENOSYS)]:
        steps += [_step(test, number, skip_else=1), _step(RETURN, REFUSE | error)]  # no clone3: libc takes clone then
    for number in numbers:
        steps += [_step(EQUAL, number, skip_else=1), _step(RETURN, REFUSE | errno.EPERM)]
    steps += [
        _step(EQUAL, CLONE[machine], skip_else=3),
        _step(LOAD, FIRST_ARGUMENT),
        _step(HAS_BITS, CLONE_THREAD, skip_if=1),
        _step(RETURN, REFUSE | errno.EPERM),
        _step(RETURN, ALLOW),
    ]
    return b"".join(steps)


def _step(code: int, value: int, *, skip_if: int = 0, skip_else: int = 0) -> bytes:
    return struct.pack("=HBBI", code, skip_if, skip_else, value)
