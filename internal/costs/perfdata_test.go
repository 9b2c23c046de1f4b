package costs

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPerfReadsTheSamples has perf name two addresses of a program by the file written
// for it.
func TestPerfReadsTheSamples(t *testing.T) {
	perf, err := FindPerf(t.Context(), usualFrequency, t.TempDir())
	if err != nil {
		t.Skip(err)
	}
	target, err := compileTarget(t.Context(), t.TempDir(), []int{0})
	if err != nil {
		t.Skip(err)
	}
	b := corpusBinary{path: target.path}
	functions, err := b.open()
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for _, f := range functions {
		if f.Value-b.mapping.Start < b.mapping.Limit-b.mapping.Start && !strings.HasPrefix(f.Name, "_") && len(b.addresses) < 2 {
			b.addresses = append(b.addresses, f.Value)
			want += f.Name + "\n"
		}
	}
	var data bytes.Buffer
	if err := writePerfData(&data, corpus{binaries: []corpusBinary{b}}); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "perf.data")
	if err := os.WriteFile(name, data.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), perf.Binary, "script", "-F", "ip,sym", "-i", name).Output()
	if err != nil {
		t.Fatalf("perf script: %v", err)
	}
	got := ""
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) == 2 {
			got += fields[1] + "\n"
		}
	}
	if got != want {
		t.Errorf("perf names %q, want %q: %s", got, want, out)
	}
}

// TestCorpusIsOfTheWantedKind looks at the machine's own programs.
func TestCorpusIsOfTheWantedKind(t *testing.T) {
	c, err := findCorpus(t.Context(), "without debug information", false, "/usr")
	if err != nil && !strings.Contains(err.Error(), "fewer than") {
		t.Fatal(err)
	}
	count := 0
	for _, b := range c.binaries {
		seen := map[uint64]bool{}
		for _, at := range b.addresses {
			if seen[at] {
				t.Fatalf("%#x of %s comes twice", at, b.path)
			}
			seen[at] = true
		}
		count += len(b.addresses)
	}
	if err == nil && (count != corpusAddresses || len(c.binaries) != corpusBinaries) {
		t.Errorf("%d addresses in %d binaries", count, len(c.binaries))
	}
	if _, err := findCorpus(t.Context(), "nowhere", false, t.TempDir()); err == nil || !strings.Contains(err.Error(), "0 binaries") {
		t.Errorf("a folder without binaries: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := findCorpus(ctx, "", false, "/usr"); err == nil {
		t.Error("a search that was given up found something")
	}
}
