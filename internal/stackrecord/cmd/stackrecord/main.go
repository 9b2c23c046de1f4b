//go:build amd64

// Command stackrecord records the stack of a running thread, for the tests of the
// unwinders:
//
//	stackrecord TID 'what is special about it' > collector/unwind/testdata/stacks/NAME.json
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/narrows-profiler/narrows/internal/stackrecord"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stackrecord:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: stackrecord TID 'what is special about it'")
	}
	tid, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("%q is no thread's number: %w", args[0], err)
	}
	stack, err := stackrecord.Record(tid, args[1])
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d frames: %v\n", len(stack.Frames), stack.End)
	return stack.Write(os.Stdout)
}
