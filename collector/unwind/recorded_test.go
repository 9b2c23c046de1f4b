package unwind

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/narrows-profiler/narrows/internal/stackrecord"
	rules "github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// Stacks of real programs, as they were recorded (internal/stackrecord): both walkers
// find the frames that are known to be theirs.
func TestRecordedStacks(t *testing.T) {
	walker := compileWalker(t, rules.X86_64)
	files, err := filepath.Glob("testdata/stacks/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded stacks: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			stack, err := stackrecord.Read(f)
			if err != nil {
				t.Fatal(err)
			}
			c := &stackCase{arch: stack.Arch, registers: stack.Registers, stack: stack.Snapshots()}
			for _, code := range stack.Code {
				c.code = append(c.code, codeRange{code.Start, code.End, code.Bias, code.Table()})
			}
			if frames, end := c.inGo(); !slices.Equal(frames, stack.Frames) || end != stack.End {
				t.Errorf("%s: the walker of copies found %#x: %v\nwant %#x: %v", stack.What, frames, end, stack.Frames, stack.End)
			}
			if got := walker.walk(t, []*stackCase{c})[0]; !slices.Equal(got.frames, stack.Frames) || got.end != stack.End {
				t.Errorf("%s: the kernel's walker found %#x: %v\nwant %#x: %v", stack.What, got.frames, got.end, stack.Frames, stack.End)
			}
		})
	}
}
