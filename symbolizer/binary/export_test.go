package binary

import "bytes"

// with is the file as if it had a section of a name with these bytes.
func (f *File) with(name string, contents []byte) *File {
	copied := *f
	copied.r = bytes.NewReader(contents)
	copied.size = uint64(len(contents))
	copied.sections = append(copied.sections[:len(copied.sections):len(copied.sections)],
		section{name: name, kind: 1, size: uint64(len(contents))})
	return &copied
}

// MiniDebugOf is MiniDebug of a file that has these bytes in .gnu_debugdata.
func (f *File) MiniDebugOf(contents []byte) (*File, error) {
	mini, _, err := f.with(".gnu_debugdata", contents).MiniDebug(8 << 20)
	return mini, err
}

// DebugLinkOf is DebugLink of a file that has these bytes in .gnu_debuglink.
func (f *File) DebugLinkOf(contents []byte) DebugLink {
	return f.with(".gnu_debuglink", contents).DebugLink()
}
