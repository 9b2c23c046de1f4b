// Goheap allocates known amounts from known functions, lets some of them go, writes its own
// heap profile into the folder that it is given, and is quiet.
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
)

// What is allocated where, in bytes and times.
const (
	leakSize, leakTimes   = 64 << 10, 200
	churnSize, churnTimes = 1 << 10, 20000
	deepSize, deepTimes   = 4096, 500
	deepFrames            = 40
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
	for i := 0; i < 4; i++ {
		go func() {
			for j := 0; j < 1000; j++ {
				leak()
				churn()
				if j == 100 {
					break
				}
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

func main() {
	folder := os.Args[1]
	if rate := os.Getenv("RATE"); rate != "" {
		runtime.MemProfileRate, _ = strconv.Atoi(rate)
	}
	collect := os.Getenv("COLLECT") != "no"
	if !collect {
		debug.SetGCPercent(-1)
	}
	// Each line on the input makes one round, and then there is a profile.
	lines := bufio.NewReader(os.Stdin)
	for round := 1; ; round++ {
		if round > 1 {
			if _, err := lines.ReadString('\n'); err != nil {
				return
			}
		}
		allocate()
		if collect {
			runtime.GC()
			runtime.GC()
			debug.SetGCPercent(-1) // quiet: writing would collect otherwise
		}
		write(folder, fmt.Sprintf("heap%d.pb.gz", round))
		fmt.Println("quiet")
	}
}
