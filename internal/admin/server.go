// Package admin is the HTTP side of a running tandem: health, metrics, status, the steps of a migration,
// the dashboard (package dashboard) and what it watches; and the client that the command line uses for it.
//
// It owns the wire form of section 10 of the design: paths, methods, status codes, JSON. It decides
// nothing about a migration: it asks a Controller.
//
// Who may ask: on a loopback address everybody on this machine, unless there is a token; on any other
// address only who sends the token. A browser must not be turned against it by a foreign page: see guard.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tandem/internal/audit"
	"tandem/internal/dashboard"
	"tandem/internal/tlsconn"
)

// Options say what a Server serves, and to whom.
type Options struct {
	// Addr is the host:port to listen on; port 0 takes a free one.
	Addr string
	// Callers are those who may ask. There may be none on a loopback address only: then everybody may.
	Callers []Caller
	// Audit is the record of steps; nil: there is none but the log.
	Audit *audit.Log
	// TLS is that of the address; nil: callers speak plain HTTP.
	TLS *tlsconn.ServerOptions
	// Controller and Metrics are asked at each request.
	Controller Controller
	Metrics    prometheus.Gatherer
	Log        *slog.Logger
	// Reload reads the configuration again; nil where that cannot be done.
	Reload func(context.Context) (Reloaded, error)
	// Level is that of the log, which may be changed; nil where it cannot.
	Level *slog.LevelVar
	// ShutdownTimeout is how long Serve waits for requests in progress when it ends.
	ShutdownTimeout time.Duration
}

// Bounds of one request. None is long: a caller is a person, a script or a scraper nearby. How long a step
// may take is the Controller's affair, so nothing bounds the time between a request and its answer.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 64 << 10
	// maxConnections may be open at once; more wait in the system's queue until one of them has ended or timed out.
	maxConnections = 256
)

// Server is the admin API on one address.
type Server struct {
	options  Options
	listener net.Listener
	http     *http.Server
	live     *live
	page     *dashboard.Handler
	callers  atomic.Pointer[callers]
	denial   *denial
	// end cancels the contexts of requests in progress.
	end context.CancelFunc
}

// Listen opens the address. Requests wait until Serve is called, which must be, to close it again.
func Listen(o Options) (*Server, error) {
	if len(o.Callers) == 0 && !isLoopback(o.Addr) {
		return nil, fmt.Errorf("admin address %s is open to other machines: it needs a token", o.Addr)
	}
	listener, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("open the admin address: %w", err)
	}
	if o.TLS != nil {
		secure := *o.TLS
		secure.Plain, secure.MaxHandshakes, secure.Log = plainHTTP, maxConnections, o.Log
		if listener, err = tlsconn.Listen(listener, secure); err != nil {
			return nil, fmt.Errorf("open the admin address: %w", err)
		}
	}
	return newServer(o, listener, requestTimeout), nil
}

// newServer has the timeout of a request as a parameter for the test that outlasts it.
func newServer(o Options, listener net.Listener, timeout time.Duration) *Server {
	ctx, end := context.WithCancel(context.Background())
	if o.Audit == nil {
		o.Audit = new(audit.Log)
	}
	s := &Server{denial: newDenial(), options: o, listener: newLimited(listener, maxConnections), end: end, live: newLive(o.Controller), page: dashboard.New()}
	all := newCallers(o.Callers)
	s.callers.Store(&all)
	s.live.may = s.mayAsk
	s.http = &http.Server{
		Handler:           named(s.guard(s.routes())),
		ReadHeaderTimeout: min(headerTimeout, timeout),
		ReadTimeout:       timeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withCertificate,
	}
	return s
}

// Addr is the address listened on, with the port that was taken.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve answers requests until ctx ends. Then it takes no new ones, waits for those in progress up to the
// shutdown timeout, and cancels the rest.
func (s *Server) Serve(ctx context.Context) error {
	defer s.end()
	watching := make(chan struct{})
	live, endLive := context.WithCancel(ctx)
	go func() {
		defer close(watching)
		s.live.run(live)
	}()
	defer func() {
		endLive()
		<-watching
	}()
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the admin address: %w", err)
	case <-ctx.Done():
	}
	defer s.options.Audit.Close()
	deadline, cancel := context.WithTimeout(context.Background(), s.options.ShutdownTimeout)
	defer cancel()
	err := s.http.Shutdown(deadline)
	if errors.Is(err, context.DeadlineExceeded) {
		s.end()
		err = s.http.Close()
	}
	<-served
	if err != nil {
		return fmt.Errorf("close the admin address: %w", err)
	}
	return nil
}

// routes is every path there is.
func (s *Server) routes() http.Handler {
	c := s.options.Controller
	get := func(h http.HandlerFunc) http.Handler { return methods(h, http.MethodGet, http.MethodHead) }
	post := func(h http.HandlerFunc) http.Handler { return methods(h, http.MethodPost) }
	metrics := promhttp.HandlerFor(s.options.Metrics, promhttp.HandlerOpts{})

	mux := http.NewServeMux()
	mux.Handle("/healthz", get(s.health))
	mux.Handle("/readyz", get(s.ready))
	mux.Handle("/metrics", get(metrics.ServeHTTP))
	mux.Handle("/api/v1/status", get(s.status))
	mux.Handle("/api/v1/start", post(s.start))
	mux.Handle("/api/v1/pause", post(s.step("pause", withoutResult(c, c.Pause))))
	mux.Handle("/api/v1/resume", post(s.step("resume", withoutResult(c, c.Resume))))
	mux.Handle("/api/v1/throttle", post(s.throttle))
	mux.Handle("/api/v1/reload", post(s.reload))
	mux.Handle("/api/v1/log", methods(s.log, http.MethodGet, http.MethodHead, http.MethodPost))
	mux.Handle("/api/v1/cutover", post(s.step("cutover", c.Cutover)))
	mux.Handle("/api/v1/rollback", post(s.step("rollback", c.Rollback)))
	mux.Handle("/api/v1/finish", post(s.step("finish", c.Finish)))
	mux.Handle("/api/v1/verify", post(s.verify))
	mux.Handle("/api/v1/verify/{id}", get(s.verifyResults))
	mux.Handle("/api/v1/verify/{id}/{step}", post(s.leadVerify))
	mux.Handle("/api/v1/precheck", methods(s.precheck, http.MethodGet, http.MethodHead, http.MethodPost))
	mux.Handle("/api/v1/live", methods(s.live.serve, http.MethodGet))
	mux.Handle("/api/v1/history", get(s.history))
	mux.Handle("/api/v1/clients", get(s.clients))
	mux.Handle("/api/v1/events", get(s.events))
	mux.Handle("/api/v1/report", get(s.report))
	mux.Handle("/report", get(s.reportPage))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if s.page.Has(r.URL.Path) {
			get(s.page.ServeHTTP).ServeHTTP(w, r)
			return
		}
		writeError(w, http.StatusNotFound, "there is nothing at "+r.URL.Path)
	})
	return mux
}

// methods answers 405 to other methods than those.
func methods(h http.HandlerFunc, allowed ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, m := range allowed {
			if r.Method == m {
				h(w, r)
				return
			}
		}
		w.Header().Set("Allow", allowed[0])
		writeError(w, http.StatusMethodNotAllowed, "use "+allowed[0]+" for "+r.URL.Path)
	})
}
