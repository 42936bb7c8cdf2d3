"""Replays calls of py3compile that were put off, on all processors.

Leaves exactly the files that the calls would have left: which files, for which versions and with
which options is decided by the distribution's own py3compile; each is compiled by the same module
in a process of the same interpreter. Argument: a file of calls, each with its time in nanoseconds
and its arguments, each of these with a NUL behind it, and a line break. Beside it, in a file with the ending `.done`, stands what is compiled
already, so that an attempt that was cut short is taken up again.
"""
import os
import struct
import subprocess
import sys

CALLS = sys.argv[1]
PY3COMPILE = "/usr/bin/py3compile"
INFO = "/var/lib/dpkg/info"

# Compiles the files whose numbers come over standard input, eight bytes each: all processes read
# from one pipe, so that each takes the next file when it is done with one.
WORKER = """
import os, py_compile, sys
names = open(sys.argv[1], encoding="utf-8", errors="surrogateescape").read().split("\\0")
done = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
status = 0
while True:
    number = os.read(0, 8)
    if not number:
        sys.exit(status)
    name = names[int(number)]
    try:
        # Also where a program has compiled the file for itself in the meantime: its bytes may
        # differ from those that the package manager leaves.
        py_compile.compile(name, doraise=True)
        os.write(done, os.fsencode(name) + b"\\0")
    except FileNotFoundError:
        pass  # its package has gone since
    except (py_compile.PyCompileError, OSError) as error:
        print(error, file=sys.stderr)
        status = 1
"""


def calls():
    with open(CALLS, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for line in file.read().split("\0\n"):
            if line:
                yield line.split("\0")


def package_files(package, extensions=(".py",)):
    """What `dpkg -L` lists, without starting it hundreds of times."""
    for name in (package, package.split(":")[0], package + ":" + ARCHITECTURE):
        try:
            with open(f"{INFO}/{name}.list", encoding="utf-8", errors="replace") as file:
                return [line for line in file.read().splitlines() if line.endswith(extensions)]
        except FileNotFoundError:
            continue
    raise LookupError(package)


def collect():
    """The files that the calls ask for, by version and optimization."""
    with open(PY3COMPILE, encoding="utf-8") as file:
        program = {"__name__": "py3compile", "__file__": PY3COMPILE}
        exec(compile(file.read(), PY3COMPILE, "exec"), program)
    wanted = {}

    def note(files, versions, force, optimize, e_patterns=None):
        for name, chosen in program["filter_files"](files, e_patterns, versions):
            for version in chosen:
                since = compiled_since(name, version, bool(optimize))
                # A program had compiled it before the call was made, so the call passed it by. What
                # was compiled later would have found the call's own result.
                if force or since is None or since >= int(called):
                    wanted.setdefault((version, bool(optimize)), {})[name] = True

    program["compile"] = note
    if not diverted_sources():
        program["dpf"].from_package = package_files
    failed = 0
    for called, *arguments in calls():
        sys.argv = [PY3COMPILE, *arguments]
        try:
            program["main"]()
        except SystemExit as end:
            failed |= bool(end.code)
        except LookupError:
            pass  # its package has gone since
    return wanted, failed


def diverted_sources():
    with open("/var/lib/dpkg/diversions", encoding="utf-8", errors="replace") as file:
        return any(line.endswith(".py") for line in file.read().splitlines())


def compiled_since(name, version, optimize):
    """When the file was compiled, if that is still good as py3compile judges it."""
    folder, base = os.path.split(name)
    ending = ".opt-1.pyc" if optimize else ".pyc"
    compiled = f"{folder}/__pycache__/{base[:-3]}.cpython-{version[0]}{version[1]}{ending}"
    try:
        with open(compiled, "rb") as file:
            head = struct.unpack("<4sLL", file.read(12))
            if head[1:] == (0, int(os.stat(name).st_mtime) & 0xFFFFFFFF):
                return os.fstat(file.fileno()).st_mtime_ns
    except (OSError, struct.error):
        pass
    return None


def compile_all(version, optimize, names):
    python = [f"/usr/bin/python{version[0]}.{version[1]}"] + ["-O"] * optimize
    label = f"{CALLS}.{version[0]}.{version[1]}{'-O' * optimize}"
    try:
        with open(f"{label}.done", encoding="utf-8", errors="surrogateescape") as file:
            done = set(file.read().split("\0"))
    except FileNotFoundError:
        done = set()
    names = [n for n in names if not (n in done and compiled_since(n, version, optimize))]
    with open(f"{label}.names", "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\0".join(names))
    environment = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    source, sink = os.pipe()
    workers = [
        subprocess.Popen(
            [*python, "-c", WORKER, f"{label}.names", f"{label}.done"], stdin=source, env=environment
        )
        for _ in os.sched_getaffinity(0)
    ]
    os.close(source)
    for number in range(len(names)):
        if number % 1000 == 0 and number:
            print(f"byte-compiled {number} of {len(names)} Python files", flush=True)
        os.write(sink, b"%08d" % number)
    os.close(sink)
    return len(names), max([worker.wait() for worker in workers])


ARCHITECTURE = subprocess.run(
    ["dpkg", "--print-architecture"], stdout=subprocess.PIPE, check=True, encoding="ascii"
).stdout.strip()
os.umask(0o022)
TODO, STATUS = collect()
TOTAL = 0
for (VERSION, OPTIMIZE), NAMES in TODO.items():
    COUNT, FAILED = compile_all(VERSION, OPTIMIZE, list(NAMES))
    TOTAL += COUNT
    STATUS |= FAILED
print(f"byte-compiled {TOTAL} Python files", flush=True)
sys.exit(bool(STATUS))
