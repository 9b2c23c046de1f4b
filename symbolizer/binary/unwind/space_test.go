package unwind

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	elf "github.com/narrows-profiler/narrows/symbolizer/binary"
)

// A space is what a process has mapped.
type space struct {
	t       testing.TB
	pid     int
	mapped  []mapped
	tables  map[string]*Table
	missing map[uint64]bool // pages
	vdso    []byte          // if the process is gone
}

type mapped struct {
	start, end, bias uint64
	path             string
	table            *Table
}

func newSpace(t testing.TB, pid int) *space {
	return &space{t: t, pid: pid, tables: make(map[string]*Table), missing: make(map[uint64]bool)}
}

func (s *space) at(pc uint64) *mapped {
	for range 2 {
		for i := range s.mapped {
			if m := &s.mapped[i]; pc >= m.start && pc < m.end {
				if i > 0 {
					s.mapped[0], s.mapped[i] = s.mapped[i], s.mapped[0]
				}
				return &s.mapped[0]
			}
		}
		if s.missing[pc>>12] {
			return nil
		}
		s.load()
	}
	s.missing[pc>>12] = true
	return nil
}

func (s *space) find(pc uint64) (*Table, uint64, End) {
	m := s.at(pc)
	if m == nil {
		return nil, 0, EndNoMapping
	}
	return m.table, m.bias, EndComplete
}

func (s *space) name(pc uint64) string {
	if m := s.at(pc); m != nil {
		return fmt.Sprintf("%s+%#x", filepath.Base(m.path), pc-m.bias)
	}
	return fmt.Sprintf("%#x", pc)
}

// load reads which code the process has mapped.
func (s *space) load() {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", s.pid))
	if err == nil {
		s.parse(string(text))
	}
}

// parse takes over a list of mappings.
func (s *space) parse(text string) {
	s.mapped = s.mapped[:0]
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 6 || !strings.Contains(fields[1], "x") {
			continue
		}
		m := mapped{path: fields[5]}
		var offset uint64
		if _, err := fmt.Sscanf(fields[0]+" "+fields[2], "%x-%x %x", &m.start, &m.end, &offset); err != nil {
			s.t.Fatal(err)
		}
		file, closer, err := s.open(m)
		if err != nil {
			continue
		}
		for _, segment := range file.Executables() {
			if segment.Offset&^0xfff <= offset && offset < segment.Offset+segment.Filesz {
				m.bias = m.start - offset - segment.Vaddr + segment.Offset
			}
		}
		table, ok := s.tables[m.path]
		if !ok {
			if table, err = Compile(file, Limits{}); err != nil {
				s.t.Logf("%s: %v", m.path, err)
			}
			s.tables[m.path] = table
		}
		closer()
		m.table = table
		s.mapped = append(s.mapped, m)
	}
}

func (s *space) open(m mapped) (*elf.File, func(), error) {
	if m.path == "[vdso]" {
		image := s.vdso
		if image == nil {
			memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", s.pid))
			if err != nil {
				return nil, nil, err
			}
			defer memory.Close()
			image = make([]byte, m.end-m.start)
			if _, err := memory.ReadAt(image, int64(m.start)); err != nil {
				return nil, nil, err
			}
		}
		f, err := elf.Open(strings.NewReader(string(image)), int64(len(image)))
		return f, func() {}, err
	}
	file, err := os.Open(m.path)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	f, err := elf.Open(file, info.Size())
	return f, func() { file.Close() }, err
}
