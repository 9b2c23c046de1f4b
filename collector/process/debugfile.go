package process

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// debugFolder is where distributions put separate debug files.
const debugFolder = "/usr/lib/debug"

// maxChecksummed bounds the debug files that are read whole to compare their checksum,
// where there is no build ID to compare.
const maxChecksummed = 256 << 20

// errNoDebugFile says that none of the usual places has the file.
var errNoDebugFile = errors.New("no separate debug file")

// openDebugFile looks for the separate debug file of a binary in the usual places (GDB's
// manual, "Separate Debug Files") beneath each of the roots, and opens the first that
// is the binary's: a file of another build there is passed over.
func openDebugFile(roots []string, binaryPath string, code *binary.File) companion {
	link := code.DebugLink()
	failures := []error{errNoDebugFile}
	for _, candidate := range debugPaths(binaryPath, link) {
		for _, root := range roots {
			f, size, err := openDebugCandidate(root, candidate, link, code)
			if err == nil {
				return companion{file: f, size: size, path: candidate}
			}
			if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
				failures = append(failures, fmt.Errorf("%s beneath %s: %w", candidate, root, err))
			}
		}
	}
	return companion{err: errors.Join(failures...)}
}

// debugPaths are the places where the debug file of a binary may be.
func debugPaths(binaryPath string, link binary.DebugLink) []string {
	var paths []string
	if len(link.BuildID) > 2 {
		paths = append(paths, path.Join(debugFolder, ".build-id", link.BuildID[:2], link.BuildID[2:]+".debug"))
	}
	if link.Name != "" {
		folder := path.Dir(binaryPath)
		paths = append(paths, path.Join(folder, link.Name), path.Join(folder, ".debug", link.Name), path.Join(debugFolder, folder, link.Name))
	}
	return paths
}

func openDebugCandidate(root, candidate string, link binary.DebugLink, code *binary.File) (*os.File, int64, error) {
	f, err := openBeneath(root, candidate)
	if err != nil {
		return nil, 0, err
	}
	size, err := checkDebugFile(f, link, code)
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, size, nil
}

// checkDebugFile returns the size of a debug file that is the one the link means.
func checkDebugFile(f *os.File, link binary.DebugLink, code *binary.File) (int64, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return 0, fmt.Errorf("examining the file: %w", err)
	}
	if link.BuildID == "" && stat.Size > maxChecksummed {
		return 0, fmt.Errorf("%d bytes, too many to compare a checksum", stat.Size)
	}
	ok, err := link.Matches(f, stat.Size, code)
	if err == nil && !ok {
		err = ErrChanged
	}
	return stat.Size, err
}
