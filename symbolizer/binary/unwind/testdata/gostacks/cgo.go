//go:build cgo

package main

/*
extern int back(int);
static __attribute__((noinline)) int twice(int n) { return 2 * n + 1; }
static int there(int n) { return back(twice(n)) + twice(n + 1); }
*/
import "C"

//export back
func back(n C.int) C.int { return C.int(deep(int(n)%7 + 2)) }

func calls(n int) int { return int(C.there(C.int(n & 0xff))) }
