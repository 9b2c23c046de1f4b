package memory

import (
	"fmt"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// Text is a number of bytes, with its interval where chance had a part in it.
func Text(e session.MemoryEstimate) string {
	if e.LowBytes == e.HighBytes {
		return Megabytes(e.Bytes)
	}
	return fmt.Sprintf("%s (%.4g to %.4g)", Megabytes(e.Bytes), float64(e.LowBytes)/1e6, float64(e.HighBytes)/1e6)
}

// Megabytes is a number of bytes in millions.
func Megabytes(bytes int64) string { return fmt.Sprintf("%.4g MB", float64(bytes)/1e6) }
