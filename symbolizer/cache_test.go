package symbolizer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer"
)

// TestKeptAcrossCalls checks that a binary is opened once for many profiles,
// that one without a build ID is opened for each, and that Close closes all.
func TestKeptAcrossCalls(t *testing.T) {
	path := compileC(t)
	at := addresses(t, path)
	for _, test := range []struct {
		buildID bool
		opened  int
	}{{true, 1}, {false, 3}} {
		files := &files{}
		s := symbolizer.New(symbolizer.Config{Binaries: files})
		for range 3 {
			m := mapping(t, path, at["main"])
			if !test.buildID {
				m.BuildID = ""
			}
			p := newProfile(place{m, at["main"]})
			stats := symbolize(t, s, p)
			if names(p)[0] != "main" || stats.Binaries[0].Unverified == test.buildID {
				t.Errorf("named %q, unverified %t, with build ID %t", names(p)[0], stats.Binaries[0].Unverified, test.buildID)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if files.opened != test.opened || files.closed != test.opened {
			t.Errorf("with build ID %t: %d opened and %d closed, want %d", test.buildID, files.opened, files.closed, test.opened)
		}
	}
}

// TestBounds checks that no more binaries stay open than allowed, by number and
// by memory.
func TestBounds(t *testing.T) {
	for name, config := range map[string]symbolizer.Config{
		"number": {MaxBinaries: 2},
		"memory": {MaxMemory: 1},
	} {
		t.Run(name, func(t *testing.T) {
			files := &files{}
			config.Binaries = files
			s := symbolizer.New(config)
			var places []place
			for i := range 5 {
				path := compileC(t, fmt.Sprintf("-DVARIANT=%d", i), fmt.Sprintf("-Wl,--build-id=0x%040x", i+1))
				at := addresses(t, path)
				places = append(places, place{mapping(t, path, at["main"]), at["main"]})
			}
			for range 2 {
				p := newProfile(places...)
				symbolize(t, s, p)
				for i, got := range names(p) {
					if got != "main" {
						t.Errorf("location %d is named %q", i, got)
					}
				}
			}
			kept := files.opened - files.closed
			if want := max(1, config.MaxBinaries); kept > want {
				t.Errorf("%d binaries are open, want at most %d", kept, want)
			}
			if err := s.Close(); err != nil || files.opened != files.closed {
				t.Errorf("Close: %v, %d opened, %d closed", err, files.opened, files.closed)
			}
		})
	}
}

// TestOtherBuildID checks that a file that was replaced names nothing.
func TestOtherBuildID(t *testing.T) {
	path := compileC(t)
	at := addresses(t, path)
	m := mapping(t, path, at["main"])
	m.BuildID = "0123456789abcdef0123456789abcdef01234567"
	files := &files{}
	p := newProfile(place{m, at["main"]})
	stats := symbolize(t, symbolizer.New(symbolizer.Config{Binaries: files}), p)
	if want := fmt.Sprintf("[functions+%#x]", at["main"]); names(p)[0] != want {
		t.Errorf("named %q, want %q", names(p)[0], want)
	}
	if b := stats.Binaries[0]; b.Unnamed[symbolizer.BuildIDDiffers] != 1 || b.Named != 0 || b.Detail == "" {
		t.Errorf("statistics %+v", b)
	}
	if files.closed != 1 {
		t.Error("the file was not closed")
	}
}

// TestNamedLater names a profile on a host that lacks the binary, then on one
// that has it, and checks that names from elsewhere survive both.
func TestNamedLater(t *testing.T) {
	path := compileC(t)
	at := addresses(t, path)
	m := mapping(t, path, at["main"])
	p := newProfile(place{m, at["main"]}, place{m, at["static_function"]})
	foreign := &profile.Function{ID: 1 << 63, Name: "named elsewhere"}
	p.Function = append(p.Function, foreign)
	p.Location[1].Line = []profile.Line{{Function: foreign, Line: 7}}
	m.HasFunctions = true
	symbolize(t, symbolizer.New(symbolizer.Config{}), p)
	if want := fmt.Sprintf("[functions+%#x]", at["main"]); names(p)[0] != want || names(p)[1] != "named elsewhere" {
		t.Fatalf("named %q", names(p))
	}
	stats := symbolize(t, symbolizer.New(symbolizer.Config{Binaries: &files{}}), p)
	if names(p)[0] != "main" || names(p)[1] != "named elsewhere" || p.Location[1].Line[0].Line != 7 {
		t.Errorf("named %q", names(p))
	}
	if b := stats.Binaries[0]; b.Kept != 1 || b.Named != 1 || b.Locations != 2 {
		t.Errorf("statistics %+v", b)
	}
	if len(p.Function) != 2 {
		t.Errorf("%d functions, want 2: the placeholder should be gone", len(p.Function))
	}
}

// TestRunTimeAddresses names a mapping as other profilers write it: where the
// process had it.
func TestRunTimeAddresses(t *testing.T) {
	path := compileC(t, "-fPIE", "-pie")
	at := addresses(t, path)
	m := mapping(t, path, at["main"])
	const base = 0x7f1234560000
	load := uint64(base) + m.Offset&^0xfff
	m.Limit = load + (m.Limit - m.Start)
	vaddr, offset := m.Start, m.Offset
	m.Start, m.Offset = load, m.Offset&^0xfff
	p := newProfile(place{m, load + (at["main"] - vaddr + offset) - m.Offset}, place{m, load + 1<<20})
	stats := symbolize(t, symbolizer.New(symbolizer.Config{Binaries: &files{}}), p)
	if names(p)[0] != "main" || stats.Binaries[0].Unnamed[symbolizer.NotCode] != 1 {
		t.Errorf("named %q, %+v", names(p), stats.Binaries[0])
	}
}

func TestCancelled(t *testing.T) {
	path := compileC(t)
	at := addresses(t, path)
	p := newProfile(place{mapping(t, path, at["main"]), at["main"]})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := symbolizer.New(symbolizer.Config{Binaries: &files{}}).Symbolize(ctx, p); !errors.Is(err, context.Canceled) {
		t.Errorf("Symbolize: %v, want Canceled", err)
	}
	if err := p.CheckValid(); err != nil {
		t.Error(err)
	}
}
