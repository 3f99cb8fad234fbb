package child

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"tandem/internal/status"
)

const (
	// serveTimeout is how long `tandem serve` may take until it is ready for clients.
	serveTimeout = 30 * time.Second
	// stepTimeout bounds one step of the admin API; a cutover waits for a good moment first.
	stepTimeout = 60 * time.Second
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
}

// Proxy is a running `tandem serve`.
type Proxy struct {
	*Process
	// Listen is where clients connect, Admin where the admin API is: host:port.
	Listen, Admin string
	http          *http.Client
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
	admin, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	args := append([]string{"serve", "--listen", listen, "--admin", admin, "--source", o.Source,
		"--target", o.Target, "--state-dir", o.StateDir, "--start", o.Start}, o.Args...)
	process, err := Spawn("tandem serve", o.Binary, args...)
	if err != nil {
		return nil, err
	}
	p := &Proxy{Process: process, Listen: listen, Admin: admin, http: &http.Client{Timeout: stepTimeout}}
	ctx, cancel := context.WithTimeout(ctx, serveTimeout)
	defer cancel()
	err = p.Await(ctx, "ready", func() error {
		_, err := p.call(ctx, http.MethodGet, "/readyz")
		return err
	})
	if err != nil {
		p.Stop() // the reason is err; how it ended after that is of no interest
		return nil, err
	}
	return p, nil
}

// Stop ends the proxy as Ctrl-C does; see Process.Stop.
func (p *Proxy) Stop() error {
	p.http.CloseIdleConnections()
	return p.Process.Stop()
}

// Status asks for the status.
func (p *Proxy) Status(ctx context.Context) (status.Status, error) {
	body, err := p.call(ctx, http.MethodGet, "/api/v1/status")
	if err != nil {
		return status.Status{}, err
	}
	var s status.Status
	if err := json.Unmarshal(body, &s); err != nil {
		return status.Status{}, fmt.Errorf("reading tandem's status: %w", err)
	}
	return s, nil
}

// StepReply is what the admin API answers to a step: an id when it goes on (start, verify), else the phase
// it led to and how long clients were held.
type StepReply struct {
	ID      string  `json:"id"`
	Phase   string  `json:"phase"`
	PauseMs float64 `json:"pause_ms"`
}

// Step asks for a step: start, pause, resume, cutover, rollback, finish or verify. A refusal is an error
// that lists the blockers.
func (p *Proxy) Step(ctx context.Context, step string) (StepReply, error) {
	body, err := p.call(ctx, http.MethodPost, "/api/v1/"+step)
	if err != nil {
		return StepReply{}, fmt.Errorf("%s: %w", step, err)
	}
	var reply StepReply
	if err := json.Unmarshal(body, &reply); err != nil {
		return StepReply{}, fmt.Errorf("%s: reading tandem's answer: %w", step, err)
	}
	return reply, nil
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

// call makes one request and returns the body of a 2xx answer.
func (p *Proxy) call(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+p.Admin+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := p.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("tandem's admin address: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("tandem's admin address: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		return nil, refusal(answer.Status, body)
	}
	return body, nil
}

// refusal makes an error of the body of an answer that is not 2xx: {error, blockers} as far as it is that.
func refusal(code string, body []byte) error {
	var said struct {
		Error    string           `json:"error"`
		Blockers []status.Blocker `json:"blockers"`
	}
	if json.Unmarshal(body, &said) != nil || said.Error == "" {
		return fmt.Errorf("tandem answered %s: %s", code, bytes.TrimSpace(body))
	}
	errs := []error{fmt.Errorf("tandem refused: %s", said.Error)}
	for _, b := range said.Blockers {
		errs = append(errs, fmt.Errorf("%s: %s; %s", b.Code, b.Message, b.Remedy))
	}
	return errors.Join(errs...)
}
