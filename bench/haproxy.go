package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"tandem/internal/demo/child"
	"tandem/internal/redisd"
)

// haproxy puts HAProxy in TCP mode in front of the source: what it costs to carry bytes through a process that does not
// look at them, with a server connection for each client's.
func (f *fleet) haproxy(ctx context.Context, source *redisd.Server) (*arrangement, error) {
	path, err := haproxyPath()
	if err != nil {
		return nil, err
	}
	listen, err := child.FreeAddr()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(f.dir, "haproxy.cfg")
	if err := os.WriteFile(conf, []byte(haproxyConf(listen, source.Addr)), 0o600); err != nil {
		return nil, fmt.Errorf("haproxy's configuration: %w", err)
	}
	return f.inFront(ctx, source, "haproxy", listen, path, "-db", "-f", conf)
}

// haproxyConf has one process with HAProxy's own number of threads, which is that of the cores.
func haproxyConf(listen, server string) string {
	return fmt.Sprintf(`global
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend clients
  bind %s
  default_backend redis
backend redis
  server source %s
`, listen, server)
}

// haproxyPath finds the program. Debian installs it where only root's PATH leads.
func haproxyPath() (string, error) {
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy", "/usr/local/sbin/haproxy"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("HAProxy is not installed (Debian and Ubuntu: apt-get install haproxy; or leave it out by --only)")
}
