package session

import (
	"fmt"
	"os"
)

// GiveToInvoker gives an open file to the user who called sudo, when this process
// runs as root for one: whoever asked for a recording must be able to read it.
func GiveToInvoker(f *os.File) error {
	user := invoker()
	if !user.set {
		return nil
	}
	if err := f.Chown(user.uid, user.gid); err != nil {
		return fmt.Errorf("giving %s to user %d: %w", f.Name(), user.uid, err)
	}
	return nil
}
