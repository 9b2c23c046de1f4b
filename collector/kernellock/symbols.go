package kernellock

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// Bounds of what is read of /proc/kallsyms, and of how far a variable reaches when nothing
// but the next symbol says where it ends.
const (
	maxVariables = 1 << 20
	maxReach     = 64 << 10
)

// variables are the kernel's, as far as it publishes them (KALLSYMS_ALL), by address.
type variables []variable

type variable struct {
	address uint64
	name    string // empty where something else begins
}

// readVariables reads the format of /proc/kallsyms.
func readVariables(r io.Reader) (variables, error) {
	var all variables
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := bytes.Fields(lines.Bytes())
		if len(fields) < 3 || len(fields[1]) != 1 {
			continue
		}
		address, err := strconv.ParseUint(string(fields[0]), 16, 64)
		if err != nil || address == 0 {
			continue
		}
		v := variable{address: address}
		switch kind := fields[1][0]; {
		case bytes.IndexByte([]byte("dDbB"), kind) >= 0:
			v.name = string(fields[2])
		case bytes.IndexByte([]byte("tTwW"), kind) >= 0 && len(all) > 0 && all[len(all)-1].name == "":
			continue // code after code bounds nothing
		}
		if len(all) == maxVariables {
			return nil, fmt.Errorf("more than %d variables", maxVariables)
		}
		all = append(all, v)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the kernel's symbols: %w", err)
	}
	slices.SortStableFunc(all, func(a, b variable) int { return cmp.Compare(a.address, b.address) })
	return slices.Clip(all), nil
}

// lookup names the variable that an address lies in, and how far.
func (v variables) lookup(address uint64) (name string, offset uint64, ok bool) {
	after, _ := slices.BinarySearchFunc(v, address, func(v variable, address uint64) int {
		if v.address <= address {
			return -1
		}
		return 1
	})
	if after == 0 || after == len(v) {
		return "", 0, false
	}
	found := v[after-1]
	for i := after - 1; i >= 0 && v[i].address == found.address; i-- { // of several the one with a name
		if v[i].name != "" {
			found = v[i]
		}
	}
	offset = address - found.address
	if found.name == "" || offset >= maxReach {
		return "", 0, false
	}
	return found.name, offset, true
}
