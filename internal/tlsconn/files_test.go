package tlsconn

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/printed"
	"tandem/internal/tlsconn/tlstest"
)

func TestFilesThatAreNoGoodAreNamed(t *testing.T) {
	ca := tlstest.NewCA(t, "test")
	p, q := ca.Issue(t, tlstest.Leaf{}), ca.Issue(t, tlstest.Leaf{})
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "file.pem")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		files      Files
		role, want string
	}{
		"no certificate":     {Files{Cert: "none.pem", Key: p.Key}, "certificate", "cannot be read: no such file"},
		"no key":             {Files{Cert: p.Cert, Key: "none.pem"}, "key", "cannot be read: no such file"},
		"no authority":       {Files{CA: "none.pem"}, "CA", "cannot be read: no such file"},
		"a directory":        {Files{CA: t.TempDir()}, "CA", "cannot be read: is a directory"},
		"exchanged":          {Files{Cert: p.Key, Key: p.Cert}, "certificate", "has no certificate in PEM"},
		"certificate as key": {Files{Cert: p.Cert, Key: p.Cert}, "key", "has no private key in PEM"},
		"encrypted key":      {Files{Cert: p.Cert, Key: write("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")}, "key", "is encrypted: write it without a passphrase"},
		"key of another":     {Files{Cert: p.Cert, Key: q.Key}, "key", "cannot be used with the certificate of " + p.Cert},
		"empty authority":    {Files{CA: write("")}, "CA", "has no certificate in PEM"},
		"too large":          {Files{CA: write(strings.Repeat("x", maxFileBytes+1))}, "CA", "is it the right file?"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, err := range []error{c.files.Check(), func() error { _, err := NewClient(ClientOptions{Files: c.files}); return err }()} {
				var f *FileError
				if !errors.As(err, &f) || f.Role != c.role || !strings.Contains(f.Error(), c.want) {
					t.Errorf("got %v, want the %s: %s", err, c.role, c.want)
				}
			}
		})
	}
	if err := certs(p, ca).Check(); err != nil {
		t.Error(err)
	}
}

// clock is the time that material goes by.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// look lets the files be looked at by the next handshake.
func (c *clock) look() { c.at = c.at.Add(lookEvery) }

func TestChangedFilesAreUsedAndBadOnesAreNot(t *testing.T) {
	ca := tlstest.NewCA(t, "test")
	p := ca.Issue(t, tlstest.Leaf{})
	var log printed.Text
	m, err := newMaterial(certs(p, ca), logger(&log))
	if err != nil {
		t.Fatal(err)
	}
	time := &clock{time.Now()}
	m.now = time.now
	m.looked.Store(time.at.UnixNano())
	first := m.current()

	ca.IssueInto(t, p, tlstest.Leaf{CommonName: "second"})
	if m.current() != first {
		t.Error("the files were looked at again at once")
	}
	time.look()
	second := m.current()
	if got := second.cert.Leaf.Subject.CommonName; got != "second" {
		t.Errorf("the certificate is that of %s", got)
	}
	if log.Count("TLS files read again") != 1 {
		t.Error("it was not said once")
	}

	intact, err := os.ReadFile(p.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"nonsense", "more nonsense"} {
		if err := os.WriteFile(p.Key, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			time.look()
			if m.current() != second {
				t.Error("the old certificate is not used any more")
			}
		}
	}
	if n := log.Count("changed TLS files cannot be used; the old ones go on being used"); n != 2 {
		t.Errorf("two bad files were logged %d times", n)
	}
	if log.Count("key file "+p.Key+": has no private key in PEM") != 2 {
		t.Error("it was not said what is wrong")
	}
	if err := os.Remove(p.Key); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		time.look()
		if m.current() != second {
			t.Error("the old certificate is not used any more")
		}
	}
	if log.Count("cannot be read: no such file") != 1 {
		t.Error("a file that is gone was not logged once")
	}

	// As it was: nothing to say, and nothing to do.
	if err := os.WriteFile(p.Key, intact, 0o600); err != nil {
		t.Fatal(err)
	}
	time.look()
	if m.current() != second || log.Count("TLS files read again") != 1 {
		t.Error("unchanged files were read as new ones")
	}
	ca.IssueInto(t, p, tlstest.Leaf{CommonName: "third"})
	time.look()
	if got := m.current().cert.Leaf.Subject.CommonName; got != "third" {
		t.Errorf("the certificate is that of %s", got)
	}
}

func TestACertificateThatEndsSoonIsAnnounced(t *testing.T) {
	ca := tlstest.NewCA(t, "test")
	for ends, want := range map[time.Duration]int{24 * time.Hour: 0, time.Minute: 1, -time.Hour: 1} {
		var log printed.Text
		if _, err := newMaterial(certs(ca.Issue(t, tlstest.Leaf{Ends: ends}), nil), logger(&log)); err != nil {
			t.Fatal(err)
		}
		if got := log.Count("the certificate ends soon, or has ended"); got != want {
			t.Errorf("one that ends in %v is announced %d times", ends, got)
		}
	}
}
