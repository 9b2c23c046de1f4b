package binary

import "bytes"

// MiniDebugOf is MiniDebug of a file that has these bytes in .gnu_debugdata.
func (f *File) MiniDebugOf(contents []byte) (*File, error) {
	copied := *f
	copied.r = bytes.NewReader(contents)
	copied.size = uint64(len(contents))
	copied.sections = append(copied.sections[:len(copied.sections):len(copied.sections)],
		section{name: ".gnu_debugdata", kind: 1, size: uint64(len(contents))})
	mini, _, err := copied.MiniDebug(8 << 20)
	return mini, err
}
