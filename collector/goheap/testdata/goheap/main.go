// Goheap allocates known amounts from known functions, lets some of them go, writes its own
// heap profile into the folder that it is given when it gets a line, and goes on at the next.
package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"syscall"
)

// What is allocated where, in bytes and times.
const (
	leakSize, leakTimes   = 64 << 10, 200
	churnSize, churnTimes = 1 << 10, 20000
	deepSize, deepTimes   = 4096, 500
	deepFrames            = 40

	goroutines, perGoroutine = 4, 101
)

var (
	leaked [][]byte
	sink   any
)

//go:noinline
func leak() {
	leaked = append(leaked, make([]byte, leakSize))
}

//go:noinline
func churn() {
	sink = make([]byte, churnSize)
}

// inlined is, in leakInlined.
func inlined(size int) []byte { return make([]byte, size) }

//go:noinline
func leakInlined() {
	leaked = append(leaked, inlined(leakSize/2))
}

//go:noinline
func deep(frames int) {
	if frames > 0 {
		deep(frames - 1)
		return
	}
	leaked = append(leaked, make([]byte, deepSize))
}

type list struct {
	next *list
	text [48]byte
}

//go:noinline
func generic[T any](n int) []T { return make([]T, n) }

// allocate is one round.
func allocate() {
	for i := 0; i < leakTimes; i++ {
		leak()
		leakInlined()
	}
	for i := 0; i < churnTimes; i++ {
		churn()
	}
	for i := 0; i < deepTimes; i++ {
		deep(deepFrames)
	}
	func() {
		var l *list
		for i := 0; i < 5000; i++ {
			l = &list{next: l}
		}
		sink = l
	}()
	m := map[string][]float64{}
	for i := 0; i < 3000; i++ {
		m[strconv.Itoa(i)] = generic[float64](i % 50)
	}
	sink = m
	done := make(chan bool)
	for i := 0; i < goroutines; i++ {
		go func() {
			for j := 0; j < perGoroutine; j++ {
				leak()
				churn()
			}
			done <- true
		}()
		<-done
	}
}

// write writes the program's own heap profile.
func write(folder, name string) {
	f, err := os.Create(filepath.Join(folder, name))
	if err != nil {
		panic(err)
	}
	if err := pprof.Lookup("heap").WriteTo(f, 0); err != nil {
		panic(err)
	}
	if err := f.Close(); err != nil {
		panic(err)
	}
}

// path allocates at a stack of its own for each number of so many bits.
//
//go:noinline
func path(number, bits int) {
	if bits == 0 {
		sink = make([]byte, 4096)
	} else if number&1 == 0 {
		path(number>>1, bits-1)
	} else {
		path(number>>1, bits-1)
	}
}

// busy allocates and collects garbage until the input ends.
func busy(ended <-chan bool) {
	for {
		select {
		case <-ended:
			return
		default:
			allocate()
			leaked = nil
			runtime.GC()
		}
	}
}

func main() {
	folder := os.Args[1]
	if rate := os.Getenv("RATE"); rate != "" {
		runtime.MemProfileRate, _ = strconv.Atoi(rate)
	}
	lines := bufio.NewReader(os.Stdin)
	if os.Getenv("BUSY") != "" {
		fmt.Println("busy")
		ended := make(chan bool)
		go func() {
			lines.ReadString('\n')
			close(ended)
		}()
		busy(ended)
		return
	}
	if program := os.Getenv("EXEC"); program != "" {
		fmt.Println("ready")
		lines.ReadString('\n')
		fmt.Println(syscall.Exec(program, []string{program, "-c", "echo replaced; read line"}, []string{}))
		return
	}
	collect := os.Getenv("COLLECT") != "no"
	if !collect {
		debug.SetGCPercent(-1)
	}
	if bits, _ := strconv.Atoi(os.Getenv("BITS")); bits > 0 {
		for i := 0; i < 1<<bits; i++ {
			path(i, bits)
		}
	}
	for round := 1; ; round++ {
		allocate()
		if collect {
			runtime.GC()
			runtime.GC()
			debug.SetGCPercent(-1) // quiet: nothing is published from here on
		}
		fmt.Println("allocated")
		if _, err := lines.ReadString('\n'); err != nil {
			return
		}
		write(folder, fmt.Sprintf("heap%d.pb.gz", round))
		fmt.Println("written")
		if _, err := lines.ReadString('\n'); err != nil {
			return
		}
	}
}
