package unwind

import (
	"unsafe"

	rules "github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// rowsPerStretch is how many rows share an entry of a table's index on average: a
// cache line of them.
const rowsPerStretch = 8

// index says for each stretch of 1<<shift bytes of code which row its first byte
// has; behind the last is the last row. A search then looks at the few rows of one
// stretch only.
func index(rows []rules.Row) (shift uint8, first []uint32) {
	last := rows[len(rows)-1].PC
	for shift = 4; int(last>>shift) > len(rows)/rowsPerStretch+16; shift++ {
	}
	stretches := int(last>>shift) + 1
	first = make([]uint32, 0, stretches+1)
	row := 0
	for i := range stretches {
		start := uint64(i) << shift
		for row+1 < len(rows) && uint64(rows[row+1].PC) <= start {
			row++
		}
		first = append(first, uint32(row))
	}
	return shift, append(first, uint32(len(rows)-1))
}

// slots is how many words of 8 bytes a table takes in the kernel.
func slots(t *rules.Table, index []uint32) int {
	return (len(index)+1)/2 + len(t.Rows) + 2*len(t.Wide)
}

// words reads a slice of rows or rules as words: layouts are shared with C.
func words[T any](s []T) []uint64 {
	if len(s) == 0 {
		return nil
	}
	size := int(unsafe.Sizeof(s[0]))
	return unsafe.Slice((*uint64)(unsafe.Pointer(&s[0])), len(s)*size/8)
}

// fromWords is the opposite of words.
func fromWords[T any](w []uint64, n int) []T {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&w[0])), n)
}
