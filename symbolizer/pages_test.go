package symbolizer

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// TestPagesReadWhatTheFileHas compares reads of all kinds with those of the file.
func TestPagesReadWhatTheFileHas(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, pageSize - 1, pageSize, pageSize + 1, 40*pageSize + 100} {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		file := bytes.NewReader(content)
		p := newPages(file, int64(size))
		for range 3000 {
			off := random.Int64N(int64(size) + 100)
			n := random.IntN(300)
			if random.IntN(50) == 0 {
				n = random.IntN(3 * pageSize)
			}
			want, got := make([]byte, n), make([]byte, n)
			wantN, wantErr := file.ReadAt(want, off)
			gotN, gotErr := p.ReadAt(got, off)
			if gotN != wantN || !bytes.Equal(got[:gotN], want[:wantN]) || (gotErr == nil) != (wantErr == nil || gotN == n) {
				t.Fatalf("%d bytes at %d of %d: %d, %v; want %d, %v", n, off, size, gotN, gotErr, wantN, wantErr)
			}
		}
	}
}

// A file that became shorter is an error, not zeros.
func TestPagesOfAFileThatShrinks(t *testing.T) {
	p := newPages(bytes.NewReader(make([]byte, pageSize)), 3*pageSize)
	if _, err := p.ReadAt(make([]byte, 10), 2*pageSize); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
}
