package golock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"golang.org/x/arch/arm64/arm64asm"
	"golang.org/x/arch/x86/x86asm"
)

// kind is what a wait with some reason is for.
type kind struct {
	name string
	// semaphore tells that it is a semaphore's, whose address names the lock.
	semaphore bool
	// lock tells that somebody held it, and made those wait who came meanwhile.
	lock bool
}

// kinds are the reasons that are recorded, as the runtime prints them (waitReasonStrings in
// runtime2.go of Go 1.20 to 1.26). All others are waits for the world outside, for a
// time, or of the runtime for itself.
var kinds = map[string]kind{
	"chan receive":        {name: "chan receive"},
	"chan send":           {name: "chan send"},
	"select":              {name: "select"},
	"sync.Cond.Wait":      {name: "sync.Cond"},
	"semacquire":          {name: "semaphore", semaphore: true},
	"sync.WaitGroup.Wait": {name: "sync.WaitGroup", semaphore: true}, // since 1.25
	"sync.Mutex.Lock":     {name: "sync.Mutex", semaphore: true, lock: true},
	"sync.RWMutex.RLock":  {name: "sync.RWMutex", semaphore: true, lock: true},
	"sync.RWMutex.Lock":   {name: "sync.RWMutex", semaphore: true, lock: true},

	"chan receive (durable)":        {name: "chan receive"}, // of testing/synctest
	"chan send (durable)":           {name: "chan send"},
	"select (durable)":              {name: "select"},
	"sync.WaitGroup.Wait (durable)": {name: "sync.WaitGroup", semaphore: true},
}

// Limits on what a process may say of its reasons. The kernel side tells 64 apart.
const (
	maxReasons    = 64
	minReasons    = 16
	maxReasonName = 64
)

// errNoReasons says that a process has no table of wait reasons where it should be: it may
// not have been relocated yet.
var errNoReasons = errors.New("the names of the wait reasons were not found")

// readReasons reads the table of strings from a process, at the first of the addresses at
// which there is one.
func readReasons(memory io.ReaderAt, tables []uint64) ([]string, error) {
	for _, at := range tables {
		if reasons := readStrings(memory, at); reasons != nil {
			return reasons, nil
		}
	}
	return nil, fmt.Errorf("%w at %#x", errNoReasons, tables)
}

// readStrings reads an array of Go strings until something else comes; nil if it is not
// that of the reasons.
func readStrings(memory io.ReaderAt, at uint64) []string {
	var headers [16 * maxReasons]byte
	n, _ := memory.ReadAt(headers[:], int64(at))
	var found []string
	known := 0
	for i := 0; i+16 <= n; i += 16 {
		data, size := binary.NativeEndian.Uint64(headers[i:]), binary.NativeEndian.Uint64(headers[i+8:])
		if size > maxReasonName || data>>63 != 0 {
			break
		}
		text := make([]byte, size)
		if _, err := memory.ReadAt(text, int64(data)); err != nil && size > 0 {
			break
		}
		name := string(text)
		if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			break
		}
		if _, ok := kinds[name]; ok {
			known++
		}
		found = append(found, name)
	}
	// Go 1.20 has all that it needs of them.
	if len(found) < minReasons || known < 6 {
		return nil
	}
	return found
}

// addresses are the addresses that some code computes, relative to where it is: among
// them those of the tables that it reads.
func addresses(architecture string, code []byte, at uint64) []uint64 {
	if architecture == "arm64" {
		return addressesARM64(code, at)
	}
	var found []uint64
	for i := 0; i < len(code); {
		inst, err := x86asm.Decode(code[i:], 64)
		if err != nil || inst.Len <= 0 {
			break
		}
		i += inst.Len
		if m, ok := inst.Args[1].(x86asm.Mem); ok && inst.Op == x86asm.LEA && m.Base == x86asm.RIP {
			found = append(found, at+uint64(i)+uint64(m.Disp))
		}
	}
	return found
}

// addressesARM64 finds pairs of adrp and add.
func addressesARM64(code []byte, at uint64) []uint64 {
	var found []uint64
	pages := map[arm64asm.Reg]uint64{}
	for i := 0; i+4 <= len(code); i += 4 {
		inst, err := arm64asm.Decode(code[i : i+4])
		if err != nil {
			continue
		}
		word := binary.LittleEndian.Uint32(code[i:])
		to := arm64asm.X0 + arm64asm.Reg(word&31)
		switch {
		case inst.Op == arm64asm.ADRP:
			// The distance in pages: two low bits, 19 high ones, signed.
			pages21 := int64(word>>29&3) | int64(int32(word<<8)>>13)<<2
			pages[to] = (at+uint64(i))&^0xfff + uint64(pages21<<12)
		case inst.Op == arm64asm.ADD && word>>22 == 0x244: // of 64 bits, an immediate, not shifted
			if page, ok := pages[arm64asm.X0+arm64asm.Reg(word>>5&31)]; ok {
				found = append(found, page+uint64(word>>10&0xfff))
			}
		}
	}
	return found
}
