// Command gostacks does what Go's runtime makes unusual frames for. It stops
// itself when it begins, to be run instruction by instruction from there on, and
// says "done" if it came to its end.
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"time"
)

var sink int

//go:noinline
func leaf(x int) int { return x*3 + sink }

//go:noinline
func deep(n int) int {
	var room [64]int
	room[n%64] = n
	if n == 0 {
		return leaf(n)
	}
	return deep(n-1) + leaf(room[(n+1)%64])
}

//go:noinline
func large(n int) int {
	var room [4096]int
	for i := range room {
		room[i] = n + i
	}
	return leaf(room[n%len(room)])
}

//go:noinline
func panics(n int) (result int) {
	defer func() {
		if recover() != nil {
			result = leaf(n)
		}
	}()
	if n > 0 {
		panic(n)
	}
	return n
}

//go:noinline
func floats(x float64) float64 { return x*1.5 + float64(leaf(int(x))) }

func init() { runtime.LockOSThread() }

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2)
	deep(60) // makes the stack large enough not to grow at once
	// To this thread, which is the traced one: another could take a process's signal.
	syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), uintptr(syscall.Gettid()), uintptr(syscall.SIGUSR1))
	total := 0
	for i := 0; i < 10; i++ {
		total += deep(30 + i)
	}
	total += large(3) + panics(1) + int(floats(2))
	total += calls(total)
	words := map[string]int{}
	for _, word := range strings.Fields("the quick brown fox jumps over the lazy dog") {
		words[word] += len(word)
	}
	keys := make([]string, 0, len(words))
	for word := range words {
		keys = append(keys, word)
	}
	sort.Strings(keys)
	total += int(sha256.Sum256([]byte(fmt.Sprint(keys)))[0])
	syscall.Kill(os.Getpid(), syscall.SIGUSR2)
	total += time.Now().Nanosecond() & 1
	done := make(chan int)
	go func() { done <- deep(3) }()
	total += <-done
	<-signals
	runtime.GC()
	if total > 0 {
		fmt.Println("done")
	}
}
