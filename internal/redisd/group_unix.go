//go:build unix && !linux

package redisd

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from the server.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
