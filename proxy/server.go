package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tandem/internal/resp"
)

// ServerOptions bound what clients may cost.
type ServerOptions struct {
	// Limits of one command.
	Limits resp.Limits
	// MaxClients is how many may be connected at once.
	MaxClients int
	// OutputLimit is how many bytes of replies may wait for one client.
	OutputLimit int
	// Memory is how many bytes of commands and replies all clients may have here together (see memory).
	Memory int64
	// WriteTimeout is how long a client may take no byte of a reply.
	WriteTimeout time.Duration
	// IdleTimeout is how long a client may be silent; 0 is for ever.
	IdleTimeout time.Duration
	// KeepAlive is the interval of TCP keepalives.
	KeepAlive time.Duration
	Log       *slog.Logger
}

// Server listens for clients of one shard.
type Server struct {
	ServerOptions
	sh *Shard
	ln net.Listener

	mu       sync.Mutex
	sessions map[*session]struct{}
	lastID   int64
	accepted atomic.Uint64
	closes   [closeReasons]atomic.Uint64
	memory   memory
	draining atomic.Bool
	work     sync.WaitGroup
}

// NewServer returns a server that accepts on l, which it owns.
func NewServer(sh *Shard, l net.Listener, o ServerOptions) *Server {
	return &Server{ServerOptions: o, sh: sh, ln: l, sessions: map[*session]struct{}{}, memory: memory{limit: o.Memory}}
}

// Addr is where it listens.
func (srv *Server) Addr() net.Addr { return srv.ln.Addr() }

// Serve accepts clients until Shutdown.
func (srv *Server) Serve() error {
	for pause := time.Duration(0); ; {
		conn, err := srv.ln.Accept()
		switch {
		case err == nil:
			pause = 0
			srv.accept(conn)
		case srv.draining.Load() || errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ECONNABORTED):
			// Out of file descriptors: those that are connected must go on, and leave.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			srv.Log.Warn("cannot accept a client", "error", err, "retry_in", pause)
			time.Sleep(pause)
		default:
			return err
		}
	}
}

func (srv *Server) accept(conn net.Conn) {
	srv.accepted.Add(1)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: srv.KeepAlive, Interval: srv.KeepAlive / 3, Count: 3})
	}
	s := &session{
		srv: srv, sh: srv.sh, conn: conn, since: time.Now(),
		guard: resp.NewGuard(srv.Limits.PreAuth()), wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	s.active.Store(s.since.UnixNano())
	s.tell()
	s.input.init(conn, s.hold)
	s.out.init(conn, srv.OutputLimit, srv.WriteTimeout, s.close, s.hold)
	srv.mu.Lock()
	if srv.draining.Load() { // it would not be waited for
		srv.mu.Unlock()
		s.close(ShuttingDown)
		return
	}
	full := len(srv.sessions) >= srv.MaxClients
	if !full {
		srv.lastID++
		s.id = srv.lastID
		srv.sessions[s] = struct{}{}
		srv.work.Add(1)
	}
	srv.mu.Unlock()
	if full {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write([]byte("-ERR max number of clients reached\r\n"))
		s.close(MaxClients)
		return
	}
	srv.sh.lock()
	d, who := srv.sh.doorNow()
	if d == doorOpen {
		srv.sh.enter(s, who, "")
	}
	if d != doorClosed {
		s.guard.SetLimits(srv.Limits)
	}
	srv.sh.unlock()
	go func() {
		defer srv.work.Done()
		s.serve()
	}()
}

func (srv *Server) remove(s *session) {
	srv.mu.Lock()
	delete(srv.sessions, s)
	srv.mu.Unlock()
}

func (srv *Server) countClose(s *session, reason CloseReason) {
	srv.closes[reason].Add(1)
	level := slog.LevelDebug
	if reason == OutputLimit || reason == WriteTimeout || reason == ProtocolError || reason == PrimaryProtocol ||
		reason == MemoryLimit {
		level = slog.LevelWarn
	}
	srv.Log.Log(context.Background(), level, "client closed", "reason", reason.String(), "id", s.id,
		"addr", s.conn.RemoteAddr().String(), "for", time.Since(s.since).Round(time.Millisecond))
}

// Sessions is how many clients are connected.
func (srv *Server) Sessions() int {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return len(srv.sessions)
}

// Held is how many bytes of commands and replies all clients have here.
func (srv *Server) Held() int64 { return srv.memory.used.Load() }

// Accepted is how many clients have ever connected; Closed how many ended for a reason.
func (srv *Server) Accepted() uint64 { return srv.accepted.Load() }

// Closed is how many clients ended for a reason.
func (srv *Server) Closed(r CloseReason) uint64 { return srv.closes[r].Load() }

// Shutdown stops accepting, lets every session finish what it has submitted, and closes it, by ctx's end at
// the latest; if it comes to that, the shard's lanes are closed as well.
func (srv *Server) Shutdown(ctx context.Context) {
	_ = srv.ln.Close()
	srv.mu.Lock()
	srv.draining.Store(true)
	for s := range srv.sessions {
		_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // wakes its reader
	}
	srv.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		srv.work.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		srv.mu.Lock()
		for s := range srv.sessions {
			s.close(ShuttingDown)
		}
		srv.mu.Unlock()
		// One of them may be writing to a primary that takes nothing.
		srv.sh.stop()
		<-ended
	}
}
