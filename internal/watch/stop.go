package watch

import (
	"os"

	"golang.org/x/sys/unix"
)

// stoppable reports whether somebody would continue this process, such as a shell that has started it as a job. Where nobody is
// there, as in a container or behind ssh with a command, the system ignores a stop from the terminal (the process group is
// orphaned, as POSIX has it), and who waits to be continued waits for ever.
func stoppable() bool {
	group := unix.Getpgrp()
	session, err := unix.Getsid(0)
	if err != nil || group == session { // whoever has begun a session was not started within it
		return false
	}
	if group != os.Getpid() {
		return true // one of several in a job
	}
	parents, err := unix.Getsid(os.Getppid())
	return err == nil && parents == session
}
