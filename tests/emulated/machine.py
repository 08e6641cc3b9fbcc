"""A machine with AMX and AVX-VNNI in Bochs, that boots Linux and runs programs one after the other."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

BOCHS = Path(__file__).parents[2] / ".cache" / "bochs"

_SECONDS = 3000
_INIT = Path(__file__).with_name("init.cpp")
# Bochs lets Linux believe that long string instructions are slow and short ones fast: memmove then goes wrong.
_BOOT_LOADER = """\
default linux
label linux
 kernel /vmlinuz
 initrd /initrd
 append console=ttyS0 quiet panic=-1 mitigations=off clearcpuid=fsrm
"""

_MACHINE = """\
display_library: nogui
cpu: model=sapphire_rapids, ips=100000000, reset_on_triple_fault=0
memory: guest={megabytes}, host={megabytes}
romimage: file="{bochs}/BIOS-bochs-latest"
vgaromimage: file="{bochs}/VGABIOS-lgpl-latest.bin"
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path="{folder}/machine.iso", status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev="{folder}/console"
clock: sync=none
log: {folder}/log
panic: action=fatal
error: action=ignore
"""


def run(
    programs: Mapping[str, Path],
    folder: Path,
    *,
    files: Iterable[Path] = (),
    megabytes: int = 512,
) -> str:
    """What the console shows while init.cpp runs `programs`, in the order of their names.

    folder: an empty one for what the machine is made of. files: what else is there, the C library for one, under the
    same names as here. Raises RuntimeError with the console's text when the machine does not come to its end within
    _SECONDS.
    """
    root = folder / "root"
    for name in ("dev", "proc", "tests"):
        (root / name).mkdir(parents=True)
    compile_static(_INIT, root / "init")
    copies = {root / "tests" / name: program for name, program in programs.items()}
    copies |= {root / file.relative_to("/"): file for file in files}
    for copy, original in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(original, copy)
    image = folder / "image"
    image.mkdir()
    write_archive(root, image / "initrd")
    (image / "isolinux.cfg").write_text(_BOOT_LOADER)
    for name in ("vmlinuz", "isolinux.bin", "ldlinux.c32"):
        (image / name).write_bytes((BOCHS / name).read_bytes())
    boot = ["-b", "isolinux.bin", "-c", "boot.cat", "-no-emul-boot"]
    boot += ["-boot-load-size", "4", "-boot-info-table"]
    disc = folder / "machine.iso"
    subprocess.run(["genisoimage", "-quiet", "-o", disc, *boot, image], check=True)
    shutil.rmtree(root)
    shutil.rmtree(image)
    settings = folder / "bochsrc"
    settings.write_text(_MACHINE.format(bochs=BOCHS, folder=folder, megabytes=megabytes))
    command = [BOCHS / "bochs", "-q", "-f", settings]
    try:
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS)
        ended = "shutdown requested" in process.stdout + process.stderr
    except subprocess.TimeoutExpired:
        ended = False
    disc.unlink()
    output = folder / "console"
    console = output.read_text(errors="replace").replace("\r", "") if output.exists() else ""
    if not ended:
        log = (folder / "log").read_text()[-2000:]
        raise RuntimeError(f"the machine did not come to its end:\n{console}\n{log}")
    return console


def compile_static(source: Path, program: Path, *options: str) -> None:
    subprocess.run(
        ["c++", "-std=c++17", "-O1", "-Wall", "-static", *options, "-o", program, source], check=True
    )


def write_archive(root: Path, archive: Path) -> None:
    """All of `root` as cpio of the format "newc", which Linux takes as its first file system."""
    with archive.open("wb") as out:

        def add(number: int, name: str, mode: int, time: int, data: bytes) -> None:
            fields = (number, mode, 0, 0, 1, time, len(data), 0, 0, 0, 0, len(name) + 1, 0)
            header = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
            for part in (header, data):
                out.write(part + bytes(-len(part) % 4))

        for number, path in enumerate(sorted(root.rglob("*")), 1):
            about = path.stat()
            data = b"" if path.is_dir() else path.read_bytes()
            add(number, str(path.relative_to(root)), about.st_mode, int(about.st_mtime), data)
        add(0, "TRAILER!!!", 0, 0, b"")
