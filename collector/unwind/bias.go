package unwind

import (
	"debug/elf"
	"runtime"

	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// hostMachine is the e_machine of files whose rules the walker understands.
var hostMachine = map[string]uint16{"amd64": uint16(elf.EM_X86_64), "arm64": uint16(elf.EM_AARCH64)}[runtime.GOARCH]

// biasOf is what to subtract from an address in a mapping of a file to get an ELF
// address; false if the mapping holds no code of the file.
func biasOf(m process.Mapping, file *binary.File) (bias uint64, ok bool) {
	for _, s := range file.Executables() {
		if s.Offset < m.Offset+(m.End-m.Start) && m.Offset < s.Offset+s.Filesz {
			return m.Start - m.Offset + s.Offset - s.Vaddr, true
		}
	}
	return 0, false
}
