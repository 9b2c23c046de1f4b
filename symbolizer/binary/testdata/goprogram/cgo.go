//go:build cgo

package main

/*
extern void goCallback(void);
static void through_c(void) { goCallback(); }
*/
import "C"

//export goCallback
func goCallback() { outer(1) }

// fromC makes a stack with C in the middle.
func fromC() { C.through_c() }
