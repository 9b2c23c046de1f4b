// Goleak leaks memory, fills a cache and throws memory away, each by a function of its own,
// from one line on its standard input to the next, and says then what it has kept.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

var (
	leaked, cached, ring [][]byte
	number               int
)

func size() int {
	number++
	return 100 + number*7919%4000
}

//go:noinline
func leak() { leaked = append(leaked, make([]byte, size())) }

//go:noinline
func cache() { cached = append(cached, make([]byte, size())) }

//go:noinline
func pass() { ring[number%len(ring)] = make([]byte, size()) }

func bytes(blocks [][]byte) (n int) {
	for _, b := range blocks {
		n += len(b)
	}
	return n
}

func main() {
	runtime.MemProfileRate = 1
	leaked, cached, ring = make([][]byte, 0, 1<<20), make([][]byte, 0, 1<<20), make([][]byte, 100)
	lines := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	lines.Scan()
	stop := make(chan bool)
	go func() {
		lines.Scan()
		close(stop)
	}()
	begun, tick, collect := time.Now(), time.NewTicker(2*time.Millisecond), time.NewTicker(100*time.Millisecond)
	for going := true; going; {
		select {
		case <-stop:
			going = false
		case <-collect.C:
			runtime.GC()
		case <-tick.C:
			if len(os.Args) > 1 && os.Args[1] == "leak" {
				leak()
			}
			if time.Since(begun) < 2*time.Second {
				cache()
			}
			for i := 0; i < 5; i++ {
				pass()
			}
		}
	}
	runtime.GC()
	runtime.GC()
	fmt.Printf("main.leak 0 0 %d %d\nmain.cache 0 0 %d %d\ndone\n", bytes(leaked), len(leaked), bytes(cached), len(cached))
	lines.Scan()
	if pprof.Lookup("heap") == nil || len(ring) == 0 {
		os.Exit(1)
	}
	runtime.KeepAlive(leaked)
	runtime.KeepAlive(cached)
}
