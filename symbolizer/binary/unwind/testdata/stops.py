# Run by gdb: stops a program at some of its functions, and prints a line of JSON for
# each stop, with what is needed to walk the stack and gdb's own walk.
import json

gdb.execute("set confirm off")
gdb.execute("set backtrace past-main on")
gdb.execute("set backtrace past-entry on")
gdb.execute("set debuginfod enabled off", to_string=True)
for signal in ("SIGUSR1", "SIGUSR2"):
    gdb.execute("handle %s nostop noprint pass" % signal, to_string=True)
gdb.execute("starti > /dev/null", to_string=True)
for function in ("leaf", "handler", "compare", "main"):
    gdb.execute("break *(unsigned long)&%s" % function, to_string=True)
gdb.execute("continue", to_string=True)
gdb.breakpoints()[2].ignore_count = 50  # qsort calls it often
for function in ("malloc", "clock_gettime"):  # of the C library, which is there only now
    gdb.execute("break *(unsigned long)&%s" % function, to_string=True)

names = ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp"] + ["r%d" % i for i in range(8, 16)] + ["rip"]


def value(name):
    return int(gdb.parse_and_eval("(unsigned long)$" + name)) & (1 << 64) - 1


def stop():
    process = gdb.selected_inferior()
    with open("/proc/%d/maps" % process.pid) as f:
        maps = f.read()
    sp, parts, vdso = value("rsp"), [], ""
    for line in maps.splitlines():
        start, end = (int(x, 16) for x in line.split()[0].split("-"))
        writable = "rw" in line.split()[1]
        if start <= sp < end:
            parts.insert(0, [sp - 128, bytes(process.read_memory(sp - 128, min(end - sp + 128, 1 << 18))).hex()])
        elif line.endswith("[stack]"):
            parts.append([max(start, end - (1 << 16)), bytes(process.read_memory(max(start, end - (1 << 16)), min(end - start, 1 << 16))).hex()])
        if line.endswith("[vdso]"):
            vdso = bytes(process.read_memory(start, end - start)).hex()
    frames, frame = [], gdb.newest_frame()
    while frame is not None:
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            frames.append(frame.pc())
        frame = frame.older()
    print("STOP " + json.dumps({"registers": [value(n) for n in names], "maps": maps, "stack": parts, "frames": frames, "vdso": vdso}), flush=True)


# Some instructions further are looked at as well, so that prologues are seen half-way.
for i in range(40):
    try:
        for k in range(5):
            stop()
            gdb.execute("stepi", to_string=True)
        gdb.execute("continue", to_string=True)
    except gdb.error:
        break
gdb.execute("kill", to_string=True)
