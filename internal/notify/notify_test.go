package notify

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// manager is a service manager's socket, and what it is told.
func manager(t *testing.T, name string) func() string {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return func() string {
		t.Helper()
		b := make([]byte, 1024)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func TestManagerIsTold(t *testing.T) {
	for name, socket := range map[string]string{
		"a file":           filepath.Join(t.TempDir(), "notify"),
		"an abstract name": "@tandem-notify-" + filepath.Base(t.TempDir()) + t.Name(),
	} {
		t.Run(name, func(t *testing.T) {
			told := manager(t, socket)
			m := New()
			if os.Getenv("NOTIFY_SOCKET") != "" {
				t.Error("programs that are run could speak for the service")
			}
			for _, step := range []struct {
				tell func() error
				want string
			}{
				{m.Ready, `^READY=1$`},
				{m.Reloading, `^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*$`},
				{m.Stopping, `^STOPPING=1$`},
				{func() error { return m.Status("synced:\nall is\twell\nREADY=0") }, `^STATUS=synced: all is well READY=0$`},
			} {
				if err := step.tell(); err != nil {
					t.Fatal(err)
				}
				if got := told(); !regexp.MustCompile(step.want).MatchString(got) {
					t.Errorf("told %q, want %s", got, step.want)
				}
			}
		})
	}
}

func TestNobodyToTell(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := New().Ready(); err != nil {
		t.Error(err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := New().Ready(); err == nil {
		t.Error("a socket that is not there gave no error")
	}
}
