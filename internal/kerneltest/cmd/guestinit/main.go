// Command guestinit is the init of the machines in which the kernel tests run (package guest). It ends what it runs on by switching the power off, if it is process 1.
package main

import (
	"os"

	"github.com/narrows-profiler/narrows/internal/kerneltest/guest"
)

func main() { os.Exit(guest.Boot()) }
