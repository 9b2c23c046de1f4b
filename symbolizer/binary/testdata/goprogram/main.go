// Goprogram prints what Go's runtime knows about the program's own code, as
// truth for whoever reads the same from the file: the frames of calls through
// all kinds of functions, and the function and line at many addresses.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
)

type frame struct {
	PC       uintptr
	Entry    uintptr
	Function string
	File     string
	Line     int
	Inlined  bool
}

type point struct {
	PC       uintptr
	Function string
	File     string
	Line     int
}

type report struct {
	Base   uintptr // where the file's first byte is mapped
	Stacks [][]frame
	Points []point
}

var result report

//go:noinline
func record() {
	var pcs [64]uintptr
	n := runtime.Callers(0, pcs[:])
	frames := runtime.CallersFrames(pcs[:n])
	var stack []frame
	for i := 0; ; i++ {
		f, more := frames.Next()
		stack = append(stack, frame{pcs[i], f.Entry, f.Function, f.File, f.Line, f.Func == nil})
		if !more {
			break
		}
	}
	result.Stacks = append(result.Stacks, stack)
}

func innermost() { record() }

func middle(n int) {
	if n > 0 {
		innermost()
	}
}

func outer(n int) { middle(n + 1) }

type number interface{ ~int | ~float64 }

func generic[T number](v T) T {
	outer(int(v))
	return v + 1
}

//go:noinline
func genericCall[K comparable, V number](k K, v V) V {
	return generic(v)
}

type shape interface{ area(int) int }

type square struct{ side int }

func (s square) area(n int) int { outer(n); return s.side * s.side }

type box struct{ square } // its area is a wrapper

//go:noinline
func call(s shape) int { return s.area(1) }

//go:noinline
func recursive(n int) {
	if n == 0 {
		outer(1)
		return
	}
	recursive(n - 1)
}

//go:noinline
func deferred() {
	defer func() { outer(1) }()
	defer innermost()
}

//go:noinline
func panicking() {
	defer func() {
		recover()
		outer(2)
	}()
	var m map[string]int
	m["x"] = 1
}

func stacks() {
	outer(1)
	genericCall("k", 1)
	genericCall(3, 2.5)
	call(square{1})
	call(box{square{2}})
	call(&box{square{3}})
	recursive(5)
	deferred()
	panicking()
	sort.Slice([]int{3, 1, 2}, func(i, j int) bool { outer(i + 1); return i < j })
	strings.Map(func(r rune) rune { middle(1); return r }, "ab")
	f := square{4}.area
	f(1)
	done := make(chan bool)
	go func() { outer(1); close(done) }()
	<-done
	fromC()
}

// points asks the runtime about addresses throughout the executable mapping.
func points(from, to uintptr) {
	for pc := from; pc < to; pc += 23 {
		if f := runtime.FuncForPC(pc); f != nil {
			file, line := f.FileLine(pc)
			result.Points = append(result.Points, point{pc, f.Name(), file, line})
		}
	}
}

func main() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		panic(err)
	}
	stacks()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[5] != exe {
			continue
		}
		lo, hi, _ := strings.Cut(fields[0], "-")
		from, _ := strconv.ParseUint(lo, 16, 64)
		to, _ := strconv.ParseUint(hi, 16, 64)
		if fields[2] == "00000000" {
			result.Base = uintptr(from)
		}
		if fields[1] == "r-xp" {
			points(uintptr(from), uintptr(to))
		}
	}
	out := bufio.NewWriter(os.Stdout)
	if err := json.NewEncoder(out).Encode(result); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out.Flush()
}
