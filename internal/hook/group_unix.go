//go:build unix

package hook

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the program lead a process group, which is ended as one: what a script has started must not outlive
// it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
