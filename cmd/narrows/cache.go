package main

import (
	"fmt"
	"os"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/index"
)

// cacheOff is the flag's value for no folder.
const cacheOff = "off"

// maxCacheBytes bounds the folder of symbol indexes: those of a few hundred binaries.
const maxCacheBytes = 512 << 20

// cacheFlags say where symbol indexes are kept.
type cacheFlags struct {
	SymbolCache string `placeholder:"DIR" help:"Folder that keeps what was read of binaries for the next time, or \"off\". Default: /var/cache/narrows for root, narrows in the cache folder of other users."`
}

// open opens the folder, nil if there shall be none.
func (f *cacheFlags) open() (*index.Folder, error) {
	dir := f.SymbolCache
	if dir == cacheOff {
		return nil, nil
	}
	if dir == "" {
		var err error
		if dir, err = index.DefaultDir(); err != nil {
			return nil, err
		}
	}
	maker, err := thisProgram()
	if err != nil {
		return nil, err
	}
	return index.OpenFolder(dir, maker, maxCacheBytes)
}

// thisProgram identifies this very executable: another version may name otherwise.
func thisProgram() (string, error) {
	file, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("identifying this program: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("identifying this program: %w", err)
	}
	b, err := binary.Open(file, info.Size())
	if err != nil {
		return "", fmt.Errorf("identifying this program: %w", err)
	}
	return b.BuildID(), nil
}
