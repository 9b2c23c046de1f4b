package mount

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
)

// program is the file system's name in the table of mounts, behind "fuse.".
const program = "narrows"

// Mounted is a vault that is seen as a directory.
type Mounted struct {
	dir    string
	server *fuse.Server
}

// Mount shows the vault at a directory, which is made if it is not there. The vault must
// stay open until Close has returned.
func Mount(dir string, v *vault.Vault) (*Mounted, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = clear(dir)
	}
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("preparing the directory %s: %w", dir, err)
	}
	var none time.Duration // nothing that the kernel keeps could be out of date
	server, err := fs.Mount(dir, &folder{vault: v, made: time.Now()}, &fs.Options{
		AttrTimeout: &none, EntryTimeout: &none,
		MountOptions: fuse.MountOptions{
			FsName: "sigmavault", Name: program, DirectMount: true, MaxWrite: 1 << 20,
			DisableXAttrs: true, DisableReadDirPlus: true, Logger: log.New(io.Discard, "", 0),
			// Else the kernel would cut a file off by a request of its own, which a unit could
			// be stored empty between.
			ExtraCapabilities: fuse.CAP_ATOMIC_O_TRUNC,
		},
		Logger: log.New(io.Discard, "", 0),
	})
	if err != nil {
		return nil, fmt.Errorf("mounting the vault at %s (as root, or with fusermount3): %w", dir, err)
	}
	return &Mounted{dir, server}, nil
}

// clear takes away a mount of this program whose process has ended.
func clear(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, unix.ENOTCONN) {
		return nil
	}
	mounts, err := procfs.GetMounts()
	if err != nil {
		return fmt.Errorf("reading the table of mounts: %w", err)
	}
	for _, m := range mounts {
		if m.MountPoint == dir && m.FSType == "fuse."+program {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				return fmt.Errorf("taking away the mount of a service that has ended: %w", err)
			}
			return nil
		}
	}
	return fmt.Errorf("the file system there has lost its program: %w", unix.ENOTCONN)
}

// Close takes the directory's files away. Those that are still open fail from then on; what
// was written to them and not flushed is lost.
func (m *Mounted) Close() error {
	err := m.server.Unmount()
	if err != nil {
		// Somebody is in there: end the connection under them.
		err = unix.Unmount(m.dir, unix.MNT_FORCE|unix.MNT_DETACH)
		m.server.Wait()
	}
	if err != nil {
		return fmt.Errorf("unmounting %s: %w", m.dir, err)
	}
	return nil
}
