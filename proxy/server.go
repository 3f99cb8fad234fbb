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
	// Refuse says why nobody is let in now, empty if clients are; it is asked for each that connects. Nil: they are.
	Refuse func() string
	Log    *slog.Logger
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
	ended    chan struct{} // closed when draining begins
	crowded  complaint     // under mu
	work     sync.WaitGroup
}

// NewServer returns a server that accepts on l, which it owns.
func NewServer(sh *Shard, l net.Listener, o ServerOptions) *Server {
	srv := &Server{ServerOptions: o, sh: sh, ln: l, sessions: map[*session]struct{}{}, ended: make(chan struct{})}
	srv.memory.limit.Store(o.Memory)
	return srv
}

// SetBounds changes MaxClients and Memory. Clients above the former stay; of those above the latter, the ones that occupy most
// are closed.
func (srv *Server) SetBounds(maxClients int, memory int64) {
	srv.mu.Lock()
	srv.MaxClients = maxClients
	srv.mu.Unlock()
	srv.memory.limit.Store(memory)
	srv.makeRoom()
}

// Addr is where it listens.
func (srv *Server) Addr() net.Addr { return srv.ln.Addr() }

// Serve accepts clients until Shutdown.
func (srv *Server) Serve() error {
	if srv.IdleTimeout > 0 {
		go srv.watchIdle()
	}
	var trouble complaint
	for pause := time.Duration(0); ; {
		conn, err := srv.ln.Accept()
		switch {
		case err == nil:
			pause = 0
			trouble.eased(srv.Log, "clients are accepted again")
			srv.accept(conn)
		case srv.draining.Load() || errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, syscall.ECONNABORTED): // it has gone again
		default:
			// Out of file descriptors or memory, or trouble of the network: those that are connected must go on, and
			// leave, and none of it lasts.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			trouble.failed(srv.Log, "cannot accept a client", err)
			select {
			case <-time.After(pause):
			case <-srv.ended:
			}
		}
	}
}

func (srv *Server) accept(conn net.Conn) {
	srv.accepted.Add(1)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: srv.KeepAlive, Interval: srv.KeepAlive / 3, Count: 3})
	}
	conn = srv.sh.loops.Take(conn)
	s := &session{
		srv: srv, sh: srv.sh, conn: conn, since: time.Now(),
		guard: resp.NewGuard(srv.Limits.PreAuth()), wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	s.active.Store(s.since.UnixNano())
	s.tell()
	s.input.init(conn, s.hold)
	s.out.init(conn, srv.OutputLimit, srv.WriteTimeout, s.close, s.hold)
	if srv.Refuse != nil { // it may take locks
		if why := srv.Refuse(); why != "" {
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = conn.Write(errorReply(nil, "%s", why))
			s.close(NotServed)
			return
		}
	}
	srv.mu.Lock()
	if srv.draining.Load() { // it would not be waited for
		srv.mu.Unlock()
		s.close(ShuttingDown)
		return
	}
	full := len(srv.sessions) >= srv.MaxClients
	if !full && !srv.sh.opt.Descriptors.take() {
		full = true
		srv.crowded.failed(srv.Log, "clients are turned away, as above clients.max", errDescriptors, "sessions", len(srv.sessions))
	}
	if !full {
		srv.crowded.eased(srv.Log, "clients are let in again")
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
	if s.sock != nil {
		s.sock.Handle(s.takeTurn)
		return
	}
	go func() {
		s.serve()
		srv.forget()
	}()
}

// forget counts a session no more, whose end is over.
func (srv *Server) forget() {
	srv.sh.opt.Descriptors.give()
	srv.work.Done()
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
	if !srv.draining.Swap(true) {
		close(srv.ended)
	}
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
