package dwarf

import (
	"cmp"
	"path"
	"slices"
)

// lines is the line table of a unit: rows in order of address, each true up to the
// next one.
type lines struct {
	rows  []lineRow
	files []file
	dirs  []string

	version   uint16
	directory string   // of the compilation
	paths     []string // of files, as far as they were asked for
}

// A lineRow says which line the code from an address on is of.
type lineRow struct {
	addr uint64
	file uint32 // noFile where the code is of no line
	line uint32
}

const noFile = 1<<32 - 1

// A file is one of the source files of a line table.
type file struct {
	name      string
	directory uint64
}

func (l *lines) memory() int {
	if l == nil {
		return 0
	}
	n := cap(l.rows)*16 + cap(l.files)*40 + len(l.paths)*16
	for _, f := range l.files {
		n += len(f.name)
	}
	for _, d := range l.dirs {
		n += len(d) + 16
	}
	return n
}

// at returns the index of the row that holds at an address, -1 if none does.
func (l *lines) at(addr uint64) int {
	if l == nil {
		return -1
	}
	i, found := slices.BinarySearchFunc(l.rows, addr, func(r lineRow, addr uint64) int { return cmp.Compare(r.addr, addr) })
	if !found {
		i--
	}
	if i < 0 || l.rows[i].file == noFile {
		return -1
	}
	return i
}

// path returns the name of a file of the table as the compiler recorded it, made
// whole with the folders it is relative to. "" where there is no such file.
func (l *lines) path(index uint32) string {
	if l == nil {
		return ""
	}
	if l.version < 5 { // files were numbered from 1
		index--
	}
	if uint64(index) >= uint64(len(l.files)) {
		return ""
	}
	if l.paths == nil {
		l.paths = make([]string, len(l.files))
	}
	if l.paths[index] == "" {
		l.paths[index] = l.join(l.files[index])
	}
	return l.paths[index]
}

func (l *lines) join(f file) string {
	if f.name == "" || path.IsAbs(f.name) {
		return f.name
	}
	directory := ""
	switch index := f.directory; {
	case l.version >= 5 && index < uint64(len(l.dirs)):
		directory = l.dirs[index]
	case l.version < 5 && index > 0 && index <= uint64(len(l.dirs)):
		directory = l.dirs[index-1]
	}
	if !path.IsAbs(directory) {
		directory = path.Join(l.directory, directory)
	}
	return path.Join(directory, f.name)
}
