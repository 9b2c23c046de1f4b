package index_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	elf "github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/index"
)

// forge makes the checksums of a file right again, so that what they cover can be
// anything.
func forge(data []byte) {
	const block = 4096
	table := crc32.MakeTable(crc32.Castagnoli)
	order := binary.LittleEndian
	if len(data) < block || len(data)%block != 0 {
		return
	}
	rows := func(n, size uint64) uint64 { return (n*1 + block/size - 1) / (block / size) }
	ranges := rows(uint64(order.Uint32(data[32:])), 8)
	blocks := ranges + rows(uint64(order.Uint32(data[36:])), 12) + rows(uint64(order.Uint32(data[40:])), 16) + (order.Uint64(data[48:])+block-1)/block
	if blocks >= uint64(len(data)/block) {
		return
	}
	start := uint64(len(data)) - blocks*block
	sums := 64 + uint64(order.Uint16(data[56:])) + uint64(order.Uint16(data[58:])) + 4*ranges
	for i := range blocks {
		if sums+4*i+4 > start {
			return
		}
		order.PutUint32(data[sums+4*i:], crc32.Checksum(data[start+i*block:][:block], table))
	}
	order.PutUint32(data[12:], 0)
	order.PutUint32(data[12:], crc32.Checksum(data[:start], table))
}

// FuzzOpen reads arbitrary files, as they are and with checksums made right: no
// panic, no endless work, and errors say that the file is damaged.
func FuzzOpen(f *testing.F) {
	outer := &elf.Scope{Function: "outer", StartLine: 3, Source: elf.FromDWARF}
	inner := &elf.Scope{Function: "inner", Caller: outer, CallFile: "o.c", CallLine: 9}
	seed := image(f, elf.Range{Low: 0x1000, High: 0x1010, Scope: outer, File: "o.c", Line: 8},
		elf.Range{Low: 0x1010, High: 0x1020, Scope: inner, File: "i.h", Line: 1})
	f.Add(seed, uint16(0), uint64(0))
	f.Add(image(f), uint16(32), uint64(1))
	for _, at := range []uint16{24, 32, 36, 40, 48, 56, 4096, 4100, 8200, 12290, 16384} {
		f.Add(seed, at, uint64(1)<<63|5)
	}
	f.Fuzz(func(t *testing.T, data []byte, at uint16, value uint64) {
		data = bytes.Clone(data)
		if int(at)+8 <= len(data) {
			binary.LittleEndian.PutUint64(data[at:], value)
			forge(data)
		}
		x, err := index.Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if !errors.Is(err, index.ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		for addr := range uint64(0x1040) {
			if _, err := frames(x, addr); err != nil && !errors.Is(err, index.ErrDamaged) {
				t.Fatal(err)
			}
		}
		named, err := x.WithNames(map[uint32]string{0: "a name", 5: "another"})
		if err != nil {
			if !errors.Is(err, index.ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if _, err := index.Open(bytes.NewReader(named), int64(len(named))); err != nil {
			t.Fatalf("what was made of a file that opens does not open: %v", err)
		}
	})
}
