package redisd

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from the server and ends the server when this program ends, however.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
