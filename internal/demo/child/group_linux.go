package child

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from the process and ends the process when this program ends, however.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
