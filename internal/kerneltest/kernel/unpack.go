package kernel

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// largestFile caps what is copied out of a package; a compressed cloud kernel has about 10 MB.
const largestFile = 256 << 20

// unpack copies into the new folder dir the regular files of a Debian package that wanted gives a name to; wanted sees paths such as "boot/config-6.1.0-9".
func unpack(ctx context.Context, deb, dir string, wanted func(string) string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clearing the folder for %s: %w", filepath.Base(deb), err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("making a folder for %s: %w", filepath.Base(deb), err)
	}
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	stream, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", filepath.Base(deb), err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("unpacking %s: %w", filepath.Base(deb), err)
	}
	copied := copyWanted(stream, dir, wanted)
	_, _ = io.Copy(io.Discard, stream) // or dpkg-deb would wait for a reader
	if err := cmd.Wait(); err != nil {
		err = fmt.Errorf("%w: %s", err, lastLines(complaints.String(), 3))
		return fmt.Errorf("unpacking %s: %w", filepath.Base(deb), errors.Join(copied, err))
	}
	if copied != nil {
		return fmt.Errorf("unpacking %s: %w", filepath.Base(deb), copied)
	}
	return nil
}

// copyWanted does unpack's work on the package's tar stream.
func copyWanted(stream io.Reader, dir string, wanted func(string) string) error {
	archive := tar.NewReader(stream)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := wanted(strings.TrimPrefix(path.Clean("/"+header.Name), "/"))
		if header.Typeflag != tar.TypeReg || name == "" {
			continue
		}
		if header.Size > largestFile {
			return fmt.Errorf("%s has %d bytes, more than %d", header.Name, header.Size, largestFile)
		}
		if err := writeFile(filepath.Join(dir, name), archive, header.FileInfo().Mode().Perm()|0o400); err != nil {
			return err
		}
	}
}

func writeFile(name string, data io.Reader, perm os.FileMode) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, data)
	return errors.Join(err, file.Close())
}
