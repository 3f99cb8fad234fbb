package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tandem/internal/tlsconn"
)

// Options of an Exporter.
type Options struct {
	// Endpoint is the whole URL of the collector's OTLP/HTTP receiver: http://collector:4318/v1/traces.
	Endpoint string
	// Header returns what to send along, such as an API key. It is asked for each request, so that it can be replaced.
	Header func() (http.Header, error)
	// TLS is for an endpoint of https.
	TLS tlsconn.ClientOptions
	// Resource is who sends.
	Resource Resource
	// Queue is how many commands may wait to be sent; more are left out.
	Queue int
	// Every is how long a command waits for others to be sent with, at most.
	Every time.Duration
	// Timeout bounds one request.
	Timeout time.Duration
	Log     *slog.Logger

	// for tests: another pause between two attempts
	pause func(time.Duration) <-chan time.Time
}

const (
	// batch is how many commands are sent in one request at most.
	batch = 512
	// The pause before another attempt, doubling, and for how long a request is tried again.
	firstPause = time.Second
	maxPause   = 30 * time.Second
	retryFor   = time.Minute
	// maxAnswer is how much of an answer is read.
	maxAnswer = 64 << 10
	// complainEvery is how often trouble that goes on is logged again.
	complainEvery = 10 * time.Minute
)

// Counts are totals since the start, of commands.
type Counts struct {
	// Sent were taken by the collector, LeftOut did not fit into the queue, Failed were not taken.
	Sent, LeftOut, Failed uint64
}

// Exporter sends commands to a collector. Its methods may be called by several goroutines.
type Exporter struct {
	o      Options
	http   *http.Client
	queue  chan *Command
	ctx    context.Context
	cancel context.CancelFunc
	ending chan struct{} // closed by Stop: what is queued is sent, and no more
	end    sync.Once
	work   sync.WaitGroup

	sent, leftOut, failed atomic.Uint64
	complained            time.Time // of run; zero: there is no trouble
}

// Start begins to send. The files of TLS are read now; what is wrong with one is a *tlsconn.FileError.
func Start(o Options) (*Exporter, error) {
	if o.pause == nil {
		o.pause = time.After
	}
	x := &Exporter{o: o, queue: make(chan *Command, o.Queue), ending: make(chan struct{})}
	dialer := &net.Dialer{Timeout: o.Timeout}
	transport := &http.Transport{DialContext: dialer.DialContext, MaxIdleConns: 1, IdleConnTimeout: time.Minute}
	if u, err := url.Parse(o.Endpoint); err == nil && u.Scheme == "https" {
		client, err := tlsconn.NewClient(o.TLS)
		if err != nil {
			return nil, err
		}
		transport.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			host, _, _ := net.SplitHostPort(addr)
			return client.Handshake(ctx, conn, host)
		}
	}
	x.http = &http.Client{Transport: transport, Timeout: o.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // it would take the header elsewhere
	}}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	x.work.Go(x.run)
	return x, nil
}

// Offer has a command sent, which is the exporter's from now on. It never waits: what does not fit into the queue is left out.
func (x *Exporter) Offer(c *Command) {
	select {
	case x.queue <- c:
	default:
		x.leftOut.Add(1)
	}
}

// Counts returns what has become of commands so far.
func (x *Exporter) Counts() Counts {
	return Counts{Sent: x.sent.Load(), LeftOut: x.leftOut.Load(), Failed: x.failed.Load()}
}

// Stop sends what is queued, and gives up when ctx ends. Nothing may be offered any more.
func (x *Exporter) Stop(ctx context.Context) {
	x.end.Do(func() { close(x.ending) })
	stop := context.AfterFunc(ctx, x.cancel)
	x.work.Wait()
	stop()
	x.cancel()
	x.http.CloseIdleConnections()
}

// run sends what is queued until the end.
func (x *Exporter) run() {
	for {
		commands, more := x.gather()
		if len(commands) > 0 {
			x.send(commands)
		}
		if !more {
			return
		}
	}
}

// gather waits until a batch is full, or the first command of it has waited long enough. more is false once the end has come
// and the queue is empty.
func (x *Exporter) gather() (commands []*Command, more bool) {
	var waited <-chan time.Time
	for len(commands) < batch {
		select {
		case c := <-x.queue:
			if commands = append(commands, c); len(commands) == 1 {
				waited = time.After(x.o.Every)
			}
		case <-waited:
			return commands, true
		case <-x.ending:
			select {
			case c := <-x.queue:
				commands = append(commands, c)
			default:
				return commands, false
			}
		}
	}
	return commands, true
}

// send sends commands, again and again for a while.
func (x *Exporter) send(commands []*Command) {
	body, spans := message(x.o.Resource, commands)
	began, pause := time.Now(), firstPause
	for {
		refused, again, err := x.post(body)
		if refused > 0 {
			// It is told in spans; where some of a command's are refused, all of it counts as that.
			lost := uint64(min(int64(len(commands)), (refused*int64(len(commands))+int64(spans)-1)/int64(spans)))
			x.failed.Add(lost)
			x.sent.Add(uint64(len(commands)) - lost)
			x.complain(err)
			return
		}
		if err == nil {
			x.sent.Add(uint64(len(commands)))
			x.over()
			return
		}
		wait := max(pause, again)
		if again < 0 || x.ctx.Err() != nil || time.Since(began)+wait > retryFor {
			x.failed.Add(uint64(len(commands)))
			x.complain(err)
			return
		}
		select {
		case <-x.o.pause(wait):
		case <-x.ending: // one more attempt, at once
			began = began.Add(-retryFor)
		case <-x.ctx.Done():
		}
		pause = min(2*pause, maxPause)
	}
}

// final is no time to wait: another attempt is of no use.
const final = -1

// post sends a message once. refused is how many of its spans the collector has refused for good, while it took the others. With
// another error, again is how long it wants to be left alone before it is tried again, or final.
func (x *Exporter) post(body []byte) (refused int64, again time.Duration, err error) {
	request, err := http.NewRequestWithContext(x.ctx, http.MethodPost, x.o.Endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, final, errors.New("the endpoint is no URL") // not the error itself, which holds it
	}
	if x.o.Header != nil {
		header, err := x.o.Header()
		if err != nil {
			return 0, 0, fmt.Errorf("headers: %w", err)
		}
		request.Header = header
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	request.Header.Set("User-Agent", "tandem/"+x.o.Resource.Version)
	response, err := x.http.Do(request)
	if err != nil {
		var at *url.Error // holds the URL, of which a part may be a secret
		if errors.As(err, &at) {
			err = at.Err
		}
		return 0, 0, err
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // what it says besides is of no consequence
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		if refused, why := rejected(answer); refused > 0 {
			return refused, 0, fmt.Errorf("the collector has refused %d spans: %.200q", refused, why)
		}
		return 0, 0, nil
	case code == http.StatusTooManyRequests, code == http.StatusBadGateway, code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return 0, time.Duration(max(0, min(seconds, int(retryFor/time.Second)))) * time.Second, errors.New("the collector answered " + response.Status)
	default:
		return 0, final, errors.New("the collector answered " + response.Status)
	}
}

// complain logs trouble when it begins, and every so often while it goes on.
func (x *Exporter) complain(err error) {
	if now := time.Now(); x.complained.IsZero() || now.Sub(x.complained) >= complainEvery {
		x.complained = now
		x.o.Log.Warn("traces were not taken", "error", err)
	}
}

// over logs that trouble is over.
func (x *Exporter) over() {
	if !x.complained.IsZero() {
		x.complained = time.Time{}
		x.o.Log.Info("traces are taken again")
	}
}
