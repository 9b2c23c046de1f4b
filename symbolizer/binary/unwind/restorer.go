package unwind

import "bytes"

// A restorer is code that signal handlers return to, without a description that
// says so: of musl, of Go, of arm64's vDSO.
type restorer struct{ start, end uint64 }

const (
	maxRestorers   = 16
	maxRestoreCode = 64 << 20 // bytes of code that are searched for one
)

// findRestorers searches the code of a file that depends on no other for
// restorers: a C library, a static executable, the vDSO.
func (c *compiler) findRestorers() error {
	if needs, err := c.file.Needs(); needs || err != nil {
		return err
	}
	chunk := make([]byte, 64<<10)
	const overlap = 16
	left := uint64(maxRestoreCode)
	for _, segment := range c.code {
		s, ok := c.file.Loaded(segment.Vaddr)
		if !ok {
			continue
		}
		for at := uint64(0); at < s.Size && left > 0; at += uint64(len(chunk)) - overlap {
			data := chunk[:min(s.Size-at, uint64(len(chunk)))]
			if err := (&source{section: s}).read(data, at); err != nil {
				return err
			}
			c.searchRestorers(data, s.Addr+at)
			left -= min(left, uint64(len(data)))
		}
	}
	return nil
}

func (c *compiler) searchRestorers(code []byte, addr uint64) {
	for _, text := range c.arch.restorers {
		for at := 0; ; at++ {
			i := bytes.Index(code[at:], []byte(text))
			if i < 0 {
				break
			}
			at += i
			// A prefix makes it an instruction for another register.
			prefixed := !c.arch.linked && at > 0 && code[at-1]&^0xf == 0x40
			if !prefixed && len(c.restorers) < maxRestorers {
				c.restorers = append(c.restorers, restorer{addr + uint64(at), addr + uint64(at+len(text))})
			}
		}
	}
}

// addRestorers puts rows for the restorers into rows. They begin one byte early,
// because a handler's return address is the first byte of a restorer, and
// return addresses are looked up by the byte before them, and end one byte late,
// because that is where a thread stands while the kernel does what it asked for.
func (c *compiler) addRestorers(rows []Row) []Row {
	for _, r := range c.restorers {
		if r.start <= c.origin || r.end-c.origin > 1<<32-1 {
			continue
		}
		start, end := uint32(r.start-c.origin), uint32(r.end-c.origin)
		if at(rows, start).kind != KindSignal {
			rows = overlay(rows, start-1, end+1, content{kind: KindSignal})
		}
	}
	return rows
}
