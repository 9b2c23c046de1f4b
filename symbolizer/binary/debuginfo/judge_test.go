package debuginfo_test

import (
	"debug/dwarf"
	"debug/elf"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// A judge says what DWARF has at addresses as other readers of it do, for the cases
// where addr2line is wrong: it gives functions that were inlined and have no linkage
// name the name of the symbol around them, does not know inlined functions of some
// compilers at all, and takes file numbers of DWARF 5 for those of a line table's
// first files. Functions come from Go's own reader, walked from end to end; lines
// from readelf.
type judge struct {
	stacks map[uint64][]string // innermost first, without callers' lines
	lines  map[uint64]reference
}

func newJudge(t testing.TB, path string, addresses []uint64) *judge {
	t.Helper()
	j := &judge{stacks: map[uint64][]string{}, lines: map[uint64]reference{}}
	sorted := slices.Sorted(slices.Values(addresses))
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := f.DWARF()
	if err != nil {
		t.Fatal(err)
	}
	j.walk(t, data, f, sorted)
	j.readelf(t, path, sorted)
	return j
}

func (j *judge) walk(t testing.TB, data *dwarf.Data, f *elf.File, sorted []uint64) {
	r := data.Reader()
	var open [][]string // names around the children being read
	for {
		e, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e == nil {
			return
		}
		if e.Tag == 0 {
			open = open[:len(open)-1]
			continue
		}
		var around []string
		if len(open) > 0 {
			around = open[len(open)-1]
		}
		if e.Tag == dwarf.TagSubprogram || e.Tag == dwarf.TagInlinedSubroutine {
			if e.Tag == dwarf.TagSubprogram {
				around = nil
			}
			ranges, err := data.Ranges(e)
			if err != nil {
				t.Fatal(err)
			}
			if len(ranges) > 0 {
				around = append([]string{name(t, data, e)}, around...)
			}
			for _, span := range ranges {
				if !executable(f, span[0]) {
					continue // thrown away by the linker
				}
				first := sort.Search(len(sorted), func(i int) bool { return sorted[i] >= span[0] })
				for ; first < len(sorted) && sorted[first] < span[1]; first++ {
					if addr := sorted[first]; len(around) > len(j.stacks[addr]) {
						j.stacks[addr] = around
					}
				}
			}
		}
		if e.Children {
			open = append(open, around)
		}
	}
}

func executable(f *elf.File, addr uint64) bool {
	return slices.ContainsFunc(f.Sections, func(s *elf.Section) bool {
		return s.Flags&elf.SHF_EXECINSTR != 0 && addr >= s.Addr && addr < s.Addr+s.Size
	})
}

// name follows an entry to where it is named.
func name(t testing.TB, data *dwarf.Data, e *dwarf.Entry) string {
	plain := ""
	for range 10 {
		for _, attribute := range []dwarf.Attr{dwarf.AttrLinkageName, 0x2007} {
			if name, ok := e.Val(attribute).(string); ok {
				return name
			}
		}
		if own, ok := e.Val(dwarf.AttrName).(string); ok && plain == "" {
			plain = own
		}
		next, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			if next, ok = e.Val(dwarf.AttrSpecification).(dwarf.Offset); !ok {
				break
			}
		}
		r := data.Reader()
		r.Seek(next)
		var err error
		if e, err = r.Next(); err != nil || e == nil {
			t.Fatal("following a function: ", err)
		}
	}
	return plain
}

// readelf finds the lines of addresses in readelf's dump of the line tables.
func (j *judge) readelf(t testing.TB, path string, sorted []uint64) {
	var previous reference
	var previousAddr uint64
	for line := range strings.Lines(string(run(t, "readelf", "-W", "--debug-dump=decodedline", path))) {
		r, addr, ok := decodedLine(line)
		if !ok {
			continue
		}
		first := sort.Search(len(sorted), func(i int) bool { return sorted[i] >= previousAddr })
		for ; previous.file != "" && first < len(sorted) && sorted[first] < addr; first++ {
			j.lines[sorted[first]] = previous
		}
		previous, previousAddr = r, addr
	}
}

// decodedLine reads "file  line  address  ..." of readelf. The file is empty at the
// end of a sequence.
func decodedLine(text string) (r reference, addr uint64, ok bool) {
	fields := strings.Fields(text)
	at := slices.IndexFunc(fields, func(s string) bool { return strings.HasPrefix(s, "0x") })
	if at < 2 {
		return r, 0, false
	}
	addr, err := strconv.ParseUint(fields[at][2:], 16, 64)
	if err != nil {
		return r, 0, false
	}
	if fields[at-1] == "-" || slices.Contains(fields[at:], "END") {
		return r, addr, true
	}
	r.file = filepath.Base(strings.Join(fields[:at-1], " "))
	r.line, err = strconv.Atoi(fields[at-1])
	return r, addr, err == nil
}

// agrees tells whether the judge has the same functions at an address.
func (j *judge) agrees(addr uint64, got []string) error {
	want := j.stacks[addr]
	if len(got) != len(want) {
		return fmt.Errorf("%d functions, and the judge has %d: %v", len(got), len(want), want)
	}
	for i := range got {
		if !same(got[i], want[i]) {
			return errors.New("the judge has " + strings.Join(want, " < "))
		}
	}
	return nil
}
