// Package deploy tests what deploy/ and the release hold, as it is used: the package is installed, what its unit starts is
// started, the container's steps are run, manifests are decoded by the types of those who read them, and Prometheus
// evaluates the rules and the dashboard's queries on a running Tandem.
//
// It is a module of its own, for what it needs of others is no part of the program. It wants root and a machine, or a
// container, that may be changed: the package is really installed, and removed again.
package deploy

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/test/program"
)

func TestMain(m *testing.M) {
	code := program.Main(m)
	if releasedIn != "" {
		os.RemoveAll(releasedIn)
	}
	os.Exit(code)
}

// releaseVersion is what the release of this test calls itself.
const releaseVersion = "v1.2.3-rc1"

var releasedIn string

// release is the directory of a release for this machine, which is made once.
var release = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tandem-release-")
	if err != nil {
		return "", err
	}
	releasedIn = dir
	return dir, makeRelease(dir)
})

func makeRelease(dir string) error {
	root, err := program.Root()
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(root, "scripts/release.sh"), releaseVersion, dir)
	cmd.Env = append(os.Environ(), "ARCHS="+arch, "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.New(err.Error() + "\n" + string(out))
	}
	return nil
}

// released is the path of a file of the release.
func released(t *testing.T, name string) string {
	t.Helper()
	dir, err := release()
	if err != nil {
		t.Fatalf("the release: %v", err)
	}
	return filepath.Join(dir, name)
}

// read is a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(at(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// at is the absolute path of a file of the repository.
func at(t *testing.T, path string) string {
	t.Helper()
	root, err := program.Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, path)
}

// must runs a program that has to succeed, and returns what it has printed.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = program.Environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// manager is the socket of a service manager.
type manager struct {
	path string
	conn *net.UnixConn
}

func newManager(t *testing.T) *manager {
	t.Helper()
	// Not in t.TempDir, whose names may be too long for a socket, and which belongs to root alone.
	dir, err := os.MkdirTemp("", "tandem-notify-")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		os.RemoveAll(dir)
	})
	for _, p := range []string{dir, path} {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return &manager{path, conn}
}

// wait returns the first message with that line's beginning, within 30 s.
func (m *manager) wait(t *testing.T, line string) string {
	t.Helper()
	_ = m.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	b := make([]byte, 4096)
	for {
		n, err := m.conn.Read(b)
		if err != nil {
			t.Fatalf("the service manager was not told %s: %v", line, err)
		}
		if told := string(b[:n]); strings.HasPrefix(told, line) {
			return told
		}
	}
}

// until waits for a condition. more says what else is to be known if it does not come.
func until(t *testing.T, what string, within time.Duration, ok func() bool, more ...func() string) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); {
		if time.Now().After(end) {
			for _, m := range more {
				what += "; " + m()
			}
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
