package child

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"tandem/internal/admin"
	"tandem/internal/status"
)

const (
	// serveTimeout is how long `tandem serve` may take until it is ready for clients.
	serveTimeout = 30 * time.Second
	// serveAttempts is how often free ports are chosen again when another program takes one first.
	serveAttempts = 3
)

// ServeOptions says which two servers to put a proxy between, and how.
type ServeOptions struct {
	Binary   string // the tandem executable
	Source   string // URL, redis://host:port
	Target   string // URL
	StateDir string
	// Start is what `start:` is set to: "auto" or "manual".
	Start string
	// Args are further flags of `tandem serve`.
	Args []string
	// Environment is what its environment has besides this program's own, as NAME=value, and in place of what that has.
	Environment []string
}

// Proxy is a running `tandem serve`, and a client of its admin address.
type Proxy struct {
	*Process
	*admin.Client
	// Listen is where clients connect: host:port.
	Listen string
	// Admin is where the admin API is: host:port.
	Admin string
}

// Serve starts `tandem serve` on free ports and returns when it is ready for clients. On failure nothing
// runs any more, and the error holds the end of the log.
func Serve(ctx context.Context, o ServeOptions) (*Proxy, error) {
	var err error
	for range serveAttempts {
		var p *Proxy
		if p, err = serve(ctx, o); err == nil {
			return p, nil
		}
		if !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return nil, err
}

func serve(ctx context.Context, o ServeOptions) (*Proxy, error) {
	listen, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	adminAddr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	client, err := admin.NewClient(adminAddr, "")
	if err != nil {
		return nil, err
	}
	args := append([]string{"serve", "--listen", listen, "--admin", adminAddr, "--source", o.Source,
		"--target", o.Target, "--state-dir", o.StateDir, "--start", o.Start}, o.Args...)
	process, err := spawn("tandem serve", o.Binary, args, append(withoutSettings(os.Environ()), o.Environment...))
	if err != nil {
		return nil, err
	}
	p := &Proxy{Process: process, Client: client, Listen: listen, Admin: adminAddr}
	ctx, cancel := context.WithTimeout(ctx, serveTimeout)
	defer cancel()
	if err := p.Await(ctx, "ready", func() error { return p.ready(ctx) }); err != nil {
		p.Stop() // the reason is err; how it ended after that is of no interest
		return nil, err
	}
	return p, nil
}

// withoutSettings leaves out what would configure the child: it is configured by its flags alone, and the
// environment is that of some other migration.
func withoutSettings(environment []string) []string {
	kept := make([]string, 0, len(environment))
	for _, entry := range environment {
		if !strings.HasPrefix(entry, "TANDEM_") {
			kept = append(kept, entry)
		}
	}
	return kept
}

// ready asks whether clients would be served.
func (p *Proxy) ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Admin+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s", answer.Status)
	}
	return nil
}

// Stop ends the proxy as Ctrl-C does; see Process.Stop.
func (p *Proxy) Stop() error {
	p.Client.Close()
	return p.Process.Stop()
}

// Watch asks for the status every interval and hands it to see, until see returns true or an error. It
// fails when the process or ctx ends.
func (p *Proxy) Watch(ctx context.Context, interval time.Duration, see func(status.Status) (bool, error)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		s, err := p.Status(ctx)
		if err != nil {
			return err
		}
		if done, err := see(s); done || err != nil {
			return err
		}
		select {
		case <-p.Exited():
			return fmt.Errorf("tandem serve ended by itself\n%s", p.Log())
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Settled reports whether the secondary holds every write that clients were answered.
func Settled(s status.Status) bool {
	return s.UnsettledWrites == 0 && s.DirtyKeys == 0 && s.LagBytes == 0
}
