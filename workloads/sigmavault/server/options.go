package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/narrows-profiler/narrows/workloads/plant"
	"github.com/narrows-profiler/narrows/workloads/serving"
	"github.com/narrows-profiler/narrows/workloads/sigmavault/mount"
	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
)

// Options are the command line of the service, tagged for
// github.com/alecthomas/kong so that a command can embed them. [DefaultOptions]
// gives the same defaults to other callers.
type Options struct {
	Listen    string `default:"127.0.0.1:36080" help:"Address to listen on; port 0 takes a free one."`
	Data      string `placeholder:"DIR" help:"Folder of the vault; it is made if it is not there. Without one, a folder in /var/tmp that is gone when the service ends."`
	Key       string `placeholder:"FILE" help:"Key of the vault, 64 hexadecimal digits in a file that only you can read. Default: sigmavault.key in the folder, made with a new vault."`
	Directory string `placeholder:"DIR" help:"Also show the vault as a directory of files, one a unit, mounted there by FUSE (as root, or with fusermount3)."`
	CacheMB   int    `name:"cache-mb" default:"64" help:"Megabytes of decrypted chunks that are kept in memory."`
	Plant     string `placeholder:"FAULT" help:"Start with a known bottleneck, FAULT, or with its fix, FAULT=fixed; docs/planted.md lists them."`
}

// DefaultOptions are those of a command line without flags.
func DefaultOptions() Options { return Options{Listen: "127.0.0.1:36080", CacheMB: 64} }

// Faults are the bottlenecks that the service can be started with.
func Faults() []plant.Fault { return vault.Faults() }

// Run listens, opens the vault, writes a line with a [serving.Ready] to out, and
// serves until ctx ends.
func (o Options) Run(ctx context.Context, out io.Writer) error {
	choice, err := plant.Parse(o.Plant, Faults())
	if err != nil {
		return err
	}
	if o.CacheMB < 1 || o.CacheMB > 1<<20 {
		return fmt.Errorf("a cache of %d MB, must be 1 to %d", o.CacheMB, 1<<20)
	}
	var v *vault.Vault
	var mounted *mount.Mounted
	err = serving.Run(ctx, o.Listen, out, serving.Ready{Service: "sigmavault"}, func() (http.Handler, serving.Config, error) {
		if v, err = o.open(choice); err != nil {
			return nil, serving.Config{}, err
		}
		if o.Directory != "" {
			if mounted, err = mount.Mount(o.Directory, v); err != nil {
				return nil, serving.Config{}, err
			}
		}
		s, err := New(Config{Vault: v})
		if err != nil {
			return nil, serving.Config{}, err
		}
		return s, s.serving(), nil
	})
	if mounted != nil {
		err = errors.Join(err, mounted.Close())
	}
	if v != nil {
		err = errors.Join(err, v.Close())
	}
	return err
}

// open opens the vault of the chosen folder, or one that nothing is left of.
func (o Options) open(choice plant.Choice) (*vault.Vault, error) {
	c := vault.Config{Folder: o.Data, KeyFile: o.Key, CacheBytes: int64(o.CacheMB) * 1e6, Plant: choice}
	if o.Data != "" {
		return vault.Open(c)
	}
	var err error
	if c.Folder, err = os.MkdirTemp(onDisk(), "narrows-sigmavault-*"); err != nil {
		return nil, fmt.Errorf("making a folder for the vault: %w", err)
	}
	v, err := vault.Open(c)
	// The vault works on its open files. Their names go now, so that nothing is left
	// of them however this process ends.
	if removeErr := os.RemoveAll(c.Folder); removeErr != nil {
		err = errors.Join(err, fmt.Errorf("removing the temporary folder: %w", removeErr))
		if v != nil {
			err = errors.Join(err, v.Close())
		}
		return nil, err
	}
	return v, err
}

// onDisk is a folder for temporary files that is not in memory: /var/tmp is to outlive
// a restart (Filesystem Hierarchy Standard 3.0, section 5.15), which /tmp need not.
func onDisk() string {
	if info, err := os.Stat("/var/tmp"); err == nil && info.IsDir() {
		return "/var/tmp"
	}
	return os.TempDir()
}
