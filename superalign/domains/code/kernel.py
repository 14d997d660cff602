"""The system calls of Linux that isolation is made of, through ctypes. Stdlib only: it runs where nothing else is."""

from __future__ import annotations

import ctypes
import os

NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
THREAD, NAMESPACES = 0x10000, NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
NOSUID, NODEV, NOEXEC, BIND, REC, PRIVATE, DETACH = 2, 4, 8, 0x1000, 0x4000, 0x40000, 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
SYS_PIVOT_ROOT, SYS_MOUNT_SETATTR, SYS_SOCKETPAIR, SYS_CLONE, SYS_CLONE3 = 155, 442, 53, 56, 435
MACHINE, AUDIT_ARCH = "x86_64", 0xC000003E
EPERM, ENOSYS = 1, 38

# What a Python program needs when it may use files, threads, signals and an event loop: ranges of numbers on x86_64. Not in it, and so
# refused: new processes, execve, sockets, ptrace, mounts, namespaces, keyrings, bpf, perf, userfaultfd, io_uring, memfd, shared memory,
# and whatever Linux will invent next.
ALLOWED = (
    *((0, 26), (28, 28), (32, 40), (44, 45), (48, 48), (51, 52), (54, 55)),  # read .. msync, madvise, dup .. sendfile, for socketpairs
    *((60, 63), (72, 91), (95, 100), (102, 102), (104, 104), (107, 108)),  # exit, kill, files, umask .. times, getuid ..
    *((110, 111), (121, 121), (124, 124), (127, 128), (131, 131), (137, 138)),  # getppid .. getsid, signals, statfs
    *((186, 186), (201, 202), (204, 204), (213, 213), (217, 219), (228, 235), (247, 247)),  # gettid, futex, epoll, clocks, tgkill
    *((257, 258), (262, 271), (273, 273), (280, 281), (290, 293), (295, 295)),  # openat .. preadv
    *((302, 302), (316, 316), (318, 318), (324, 324), (326, 326), (332, 332)),  # prlimit64, renameat2, getrandom, membarrier, statx
    *((334, 334), (436, 436), (439, 439), (452, 452)),  # rseq, close_range, faccessat2, fchmodat2
)

_libc = ctypes.CDLL(None, use_errno=True)


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction)))


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int, what: str) -> None:
    """Puts this process into new namespaces; ``what`` names them in the error."""
    _check(_libc.unshare(flags), f"unshare({what})")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """Mounts a file system, or a folder elsewhere."""
    given = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _check(_libc.mount(*given, ctypes.c_ulong(flags), options.encode()), f"mount({source} on {target})")


def read_only(path: str) -> None:
    """Makes a mount and all below it read-only, without devices and set-user-ID programs (Linux 5.12)."""
    attributes = (ctypes.c_ulong * 4)(1 | NOSUID | NODEV, 0, 0, 0)
    arguments = (ctypes.c_long(SYS_MOUNT_SETATTR), -100, os.fsencode(path), 0x8000, attributes, ctypes.c_size_t(32))
    _check(_libc.syscall(*arguments), f"mount_setattr({path})")


def change_root(path: str) -> None:
    """Makes a mount the root, and lets go of the old one."""
    os.chdir(path)
    _check(_libc.syscall(ctypes.c_long(SYS_PIVOT_ROOT), b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", DETACH), "umount of the old root")
    os.chdir("/")


def prctl(option: int, value: int) -> None:
    """Changes an attribute of this process."""
    _check(_libc.prctl(option, *(ctypes.c_ulong(number) for number in (value, 0, 0, 0))), f"prctl({option})")


def drop_capabilities() -> None:
    """Gives up every capability, for good."""
    last = 0
    while _libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(last), *[ctypes.c_ulong(0)] * 3) == 0:
        last += 1
    _check(_libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()), "capset")
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def _filter() -> _Program:
    load, equal, above, least, mask, give = 0x20, 0x15, 0x25, 0x35, 0x54, 0x06
    allow, kill, refuse, unknown = 0x7FFF0000, 0x80000000, 0x50000 | EPERM, 0x50000 | ENOSYS
    rows = [(load, 0, 0, 4), (equal, 1, 0, AUDIT_ARCH), (give, 0, 0, kill), (load, 0, 0, 0)]
    # glibc makes threads with clone3, whose flags a filter cannot see, and falls back to clone where there is none.
    rows += [(equal, 0, 1, SYS_CLONE3), (give, 0, 0, unknown)]
    for first, last in ALLOWED:
        rows += [(least, 0, 2, first), (above, 1, 0, last), (give, 0, 0, allow)]
    rows += [(equal, 0, 4, SYS_CLONE), (load, 0, 0, 16), (mask, 0, 0, THREAD | NAMESPACES), (equal, 0, 4, THREAD), (give, 0, 0, allow)]
    rows += [(equal, 0, 2, SYS_SOCKETPAIR), (load, 0, 0, 16), (equal, 1, 0, 1), (give, 0, 0, refuse), (give, 0, 0, allow)]
    return _Program(len(rows), (_Instruction * len(rows))(*(_Instruction(*row) for row in rows)))


FILTER = _filter()


def filter_calls() -> None:
    """Refuses every system call but ``ALLOWED``, threads, and pairs of local sockets (seccomp)."""
    address = ctypes.addressof(FILTER)
    _check(_libc.prctl(PR_SET_SECCOMP, *(ctypes.c_ulong(number) for number in (2, address, 0, 0))), "prctl(PR_SET_SECCOMP)")
