package capability

import (
	"errors"

	"github.com/prometheus/procfs"
)

func checkCgroup() (string, error) {
	mounts, err := procfs.GetMounts()
	if err != nil {
		return "", err
	}
	for _, m := range mounts {
		if m.FSType == "cgroup2" {
			return m.MountPoint, nil
		}
	}
	return "", errors.New("not mounted")
}
