//go:build !cgo

package main

func calls(n int) int { return n }
