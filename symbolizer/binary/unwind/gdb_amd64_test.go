package unwind

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// TestAgainstGDB walks the stacks of a C program where gdb stops it, and compares
// them with gdb's own: on the main stack, in signal handlers, on a signal stack,
// called back by the C library, within it.
func TestAgainstGDB(t *testing.T) {
	gdb, err := exec.LookPath("gdb")
	if err != nil {
		t.Skip("gdb is not installed")
	}
	program := build(t, nil, "gcc", "-O2", "-fomit-frame-pointer", "-w", "-o", "OUT", "stacks.c")
	cmd := exec.Command(gdb, "-nx", "-batch", "-x", "testdata/stops.py", program)
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("gdb cannot run a program here: %v", err)
	}
	space := newSpace(t, 0)
	stops, deepest, handlers := 0, 0, 0
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "STOP ")
		if !ok {
			continue
		}
		s := readStop(t, text)
		space.vdso = s.vdso
		space.parse(s.Maps)
		w := Walker{Find: space.find}
		frames, end := w.Walk(nil, s.registers(), s.parts...)
		stops++
		deepest = max(deepest, len(frames))
		same := len(frames) == len(s.Frames) && end == EndComplete
		for i := 0; same && i < len(frames); i++ {
			same = frames[i] == s.Frames[i]
		}
		if !same && !t.Failed() {
			t.Errorf("a stack of %d frames that ends with %q is, by gdb, one of %d: %s, %s", len(frames), end, len(s.Frames), names(space, frames), names(space, s.Frames))
		}
		for _, pc := range frames {
			if table, bias, _ := space.find(pc - 1); table != nil && table.Lookup(pc-1-bias).Kind == KindSignal {
				handlers++
			}
		}
	}
	t.Logf("%d stacks of up to %d frames, %d with a signal's frame", stops, deepest, handlers)
	if stops == 0 {
		t.Skip("gdb stopped nowhere")
	}
	if stops < 40 || deepest < 10 || handlers < 4 {
		t.Errorf("%d stacks of up to %d frames, %d with a signal's frame: too few to show anything", stops, deepest, handlers)
	}
}

// A stop is a line of testdata/stops.py.
type stop struct {
	Registers, Frames []uint64
	Maps, VDSO        string
	Stack             [][2]any // address, hexadecimal digits

	parts []Snapshot
	vdso  []byte
}

func readStop(t *testing.T, text string) *stop {
	t.Helper()
	var s stop
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	err := decoder.Decode(&s)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range s.Stack {
		address, err := part[0].(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		data, err := hex.DecodeString(part[1].(string))
		if err != nil {
			t.Fatal(err)
		}
		s.parts = append(s.parts, Snapshot{uint64(address), data})
	}
	if s.vdso, err = hex.DecodeString(s.VDSO); err != nil {
		t.Fatal(err)
	}
	return &s
}

func (s *stop) registers() Registers {
	return Registers{PC: s.Registers[16], SP: s.Registers[7], FP: s.Registers[6], Others: s.Registers[:16]}
}

func names(s *space, frames []uint64) string {
	var all []string
	for _, pc := range frames {
		all = append(all, s.name(pc))
	}
	return strings.Join(all, " ")
}
