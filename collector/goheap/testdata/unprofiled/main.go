// Unprofiled can make no profile, so that the linker leaves memory profiling away.
package main

import (
	"io"
	"os"
)

func main() { io.Copy(io.Discard, os.Stdin) }
