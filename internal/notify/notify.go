// Package notify tells the service manager how the process is: that it serves, that it reads its settings anew, that it
// ends, and in a line of `systemctl status` what it does.
//
// It speaks the protocol of sd_notify(3): a datagram of lines NAME=value to the socket that NOTIFY_SOCKET names. Where
// nobody has asked to be told, it does nothing. It never fails a process: who is told nothing has a process that works.
package notify

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Manager is the service manager of this process. The zero value tells nobody.
type Manager struct{ socket string }

// writeTimeout bounds a datagram for a manager that does not read.
const writeTimeout = time.Second

// New finds the service manager, and hides it from programs that this process runs: what they say is not said by this
// service.
func New() Manager {
	m := Manager{os.Getenv("NOTIFY_SOCKET")}
	_ = os.Unsetenv("NOTIFY_SOCKET") // it fails for no valid name
	return m
}

// Ready says that the service does what it is for, again after Reloading too.
func (m Manager) Ready() error { return m.tell("READY=1") }

// Reloading says that settings are read anew, until Ready.
func (m Manager) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return m.tell("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

// Stopping says that the service is coming to its end.
func (m Manager) Stopping() error { return m.tell("STOPPING=1") }

// Status is what the service does now, in one line for people.
func (m Manager) Status(line string) error {
	return m.tell("STATUS=" + strings.Join(strings.Fields(line), " "))
}

func (m Manager) tell(lines ...string) error {
	if m.socket == "" {
		return nil
	}
	// An abstract name begins with @ in the environment, and for package net as well.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // it fails only for a closed one
	if _, err := conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}
