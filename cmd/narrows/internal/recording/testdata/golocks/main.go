// Golocks makes goroutines wait for each other in known ways, and writes what Go's own
// block and mutex profiles, at rate 1, say of it: golocks FOLDER DURATION. It says "ready",
// begins when it reads a line, says "done", and ends with its input.
package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"
)

func main() {
	duration, err := time.ParseDuration(os.Args[2])
	check(err)
	fmt.Println("ready")
	input := bufio.NewScanner(os.Stdin)
	input.Scan()
	runtime.SetBlockProfileRate(1)
	runtime.SetMutexProfileFraction(1)
	run(time.Now().Add(duration))
	runtime.SetBlockProfileRate(0)
	runtime.SetMutexProfileFraction(0)
	write("block")
	write("mutex")
	go stuck()
	time.Sleep(300 * time.Millisecond)
	fmt.Println("done")
	input.Scan()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(name string) {
	f, err := os.Create(filepath.Join(os.Args[1], name+".pb.gz"))
	check(err)
	check(pprof.Lookup(name).WriteTo(f, 0))
	check(f.Close())
}

// until does something again and again.
func until(end time.Time, step func()) {
	for time.Now().Before(end) {
		step()
	}
}

func run(end time.Time) {
	var all sync.WaitGroup
	start := func(n int, step func()) {
		for i := 0; i < n; i++ {
			all.Add(1)
			go func() {
				defer all.Done()
				until(end, step)
			}()
		}
	}
	var one, two sync.Mutex
	start(1, func() { holdLong(&one) })
	start(2, func() { holdShort(&one) })
	start(2, func() { holdOther(&two) })
	var shared sync.RWMutex
	start(1, func() { write1(&shared) })
	start(1, func() { read(&shared) })
	start(1, gather)
	pipe, stop := make(chan int), make(chan int)
	start(1, func() { time.Sleep(4 * time.Millisecond); send(pipe) })
	start(1, func() { choose(pipe, stop) })
	full := make(chan int)
	all.Add(1)
	go func() {
		defer all.Done()
		until(end, func() { send(full) })
		close(full)
	}()
	for range full {
		time.Sleep(2 * time.Millisecond)
	}
	all.Wait()
}

//go:noinline
func holdLong(m *sync.Mutex) {
	m.Lock()
	time.Sleep(10 * time.Millisecond)
	m.Unlock()
	time.Sleep(time.Millisecond)
}

//go:noinline
func holdShort(m *sync.Mutex) {
	m.Lock()
	defer m.Unlock()
	time.Sleep(time.Millisecond)
}

//go:noinline
func holdOther(m *sync.Mutex) {
	m.Lock()
	for began := time.Now(); time.Since(began) < 100*time.Microsecond; {
	}
	m.Unlock()
	time.Sleep(500 * time.Microsecond)
}

//go:noinline
func write1(m *sync.RWMutex) {
	m.Lock()
	time.Sleep(time.Millisecond)
	m.Unlock()
	time.Sleep(2 * time.Millisecond)
}

//go:noinline
func read(m *sync.RWMutex) {
	m.RLock()
	time.Sleep(time.Millisecond)
	m.RUnlock()
}

// gather waits for two goroutines.
//
//go:noinline
func gather() {
	var group sync.WaitGroup
	for i := 0; i < 2; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			time.Sleep(5 * time.Millisecond)
		}()
	}
	group.Wait()
}

// stuck locks itself out.
//
//go:noinline
func stuck() {
	var m sync.Mutex
	m.Lock()
	m.Lock()
}

//go:noinline
func send(c chan<- int) { c <- 1 }

//go:noinline
func choose(a, b <-chan int) {
	select {
	case <-a:
	case <-b:
	case <-time.After(100 * time.Millisecond):
	}
}
