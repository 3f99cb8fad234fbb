// Package migration leads one keyspace from the source to the target: it owns the phases and whatever runs
// in each of them, and is what the admin API drives.
//
//	passthrough ──start──► backfill ──► synced ──cutover──► reversed ──finish──► finished
//	                                      ▲                    │
//	                                      └──────rollback──────┘
//
// A phase is more than a name. In passthrough and finished clients' commands go to one instance and nothing
// else happens. In the others a link is there, from the primary to the secondary: the effect lane, the
// copier, and the sweep that runs while one is owed. backfill and synced are one state with and without an
// owed sweep. A cutover and a rollback are the same step, a swap (swap.go).
//
// What must survive a restart is written before it takes effect: the phase in the state file, and which keys had not
// settled in the intent map. So a restart recopies those, and nothing else (resume.go).
package migration

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tandem/backfill"
	"tandem/config"
	"tandem/internal/admin"
	"tandem/internal/audit"
	"tandem/internal/history"
	"tandem/internal/instance"
	"tandem/internal/intent"
	"tandem/internal/kept"
	"tandem/internal/ledger"
	"tandem/internal/moves"
	"tandem/internal/precheck"
	"tandem/internal/resp"
	"tandem/internal/state"
	"tandem/internal/status"
	"tandem/internal/trace"
	"tandem/proxy"
)

// ErrPair says that another process works on the same pair of servers.
var ErrPair = errors.New("another tandem process is connected to this pair of servers")

// ErrUnsettled says that the process ended with writes that the secondary lacks, or may lack.
var ErrUnsettled = errors.New("writes were left unsettled")

// Migration is one process' work on one pair of servers.
type Migration struct {
	// Version is what the program calls itself, for metrics. It is set before Run.
	Version string
	// Audit is the record of steps, for metrics; nil: there is none. It is set before Run.
	Audit *audit.Log

	cfg     *config.Config
	log     *slog.Logger
	id      string // of the state directory
	source  *instance.Instance
	target  *instance.Instance
	dir     *state.Dir
	intents *intent.Map
	moves   *moves.Filter // nil: everything moves
	kept    *kept.List    // nil: no keys of the target are kept; set with the ledger's lock held
	keptNow chan struct{} // keys have left the list, and that is to be brought to disk
	ledger  *ledger.Ledger
	shard   *proxy.Shard
	server  *proxy.Server
	two     *twoWay // nil: without listen_target
	began   time.Time

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	fatal  chan error // ends Run

	lookNow chan struct{} // has the servers looked at before their time

	linked atomic.Pointer[link] // the link, for those who hold the ledger's lock

	// draining ends what a step waits for when the process is to end; none begins any more.
	draining context.Context
	// takenUp is closed when what an earlier process left is taken up.
	takenUp  chan struct{}
	drainNow context.CancelFunc

	presence struct {
		sync.Mutex
		conns map[instance.Role]*instance.Conn
	}

	// step is held by whoever changes the phase, and by the drain at the end.
	step sync.Mutex

	verifies  verifies
	chronicle chronicle
	traces    atomic.Pointer[trace.Exporter] // nil: there are none
	settings  atomic.Pointer[config.Config]  // see live
	history   history.History
	throttle  *backfill.Throttle // of all links
	governor  *backfill.Governor // of the throttle
	governing atomic.Bool        // it is on
	pings     pingers
	saving    sync.Mutex // one save at a time; taken before mu

	mu       sync.Mutex // guards what follows; taken after the ledger's, never before it, and not held for long
	state    state.State
	resumed  ledger.Resumed
	blockers []status.Blocker // of a start that was refused
	checked  status.Precheck  // the last precheck of this process
	paused   bool
	// throttled is the configuration of the backfill as it was changed since the start.
	throttled config.Backfill
	windows   windows
	seen      map[instance.Role]*seen
	pause     status.CutoverStatus
	plan      planState     // of the cutover that comes by itself
	trial     trialState    // of the target, after a cutover
	users     precheck.Item // the last comparison of the servers' users, and when it was made
	usersAt   time.Time
	unsaved   string // why the state could not be written when that was last tried

	listening    listening
	keptUnsynced string // why the list of kept keys could not

	hooks hooks
}

// hooks are for tests, which stop at the points they name; nil in service.
type hooks struct {
	drained         func()        // a swap holds all commands, and nothing is on the way
	save            func() error  // instead of writing the state, if it fails
	syncKept        func() error  // before the list of kept keys is brought to disk; instead, if it fails
	lookEvery       time.Duration // instead of lookEvery
	observeEvery    time.Duration // instead of observeEvery
	saveVerifyEvery time.Duration // instead of what verify's own default is
	windowsEvery    time.Duration // instead of windowsEvery
	clock           func() time.Time
	fading          int // instead of what the copier's own default is
}

// New opens the state directory and the listener. From now on clients may connect; they are served once Run
// is called.
func New(cfg *config.Config, source, target *instance.Instance, log *slog.Logger) (*Migration, error) {
	dir, st, err := state.Open(cfg.StateDir, [2]string{source.Addr, target.Addr})
	if err != nil {
		return nil, err
	}
	if err := checkMoves(cfg, st); err != nil {
		_ = dir.Close()
		return nil, err
	}
	target.Renumber(cfg.Numbers())
	if cfg.Cutover.Trial.Time == 0 {
		st.TrialUntil = 0 // nobody would watch it
	}
	m := &Migration{
		cfg: cfg, log: log, id: st.ID, source: source, target: target, dir: dir, state: *st, began: time.Now(),
		moves: moves.New(cfg.Moves()),
		fatal: make(chan error, 1), lookNow: make(chan struct{}, 1), keptNow: make(chan struct{}, 1), takenUp: make(chan struct{}),
		seen: map[instance.Role]*seen{instance.Source: {}, instance.Target: {}},
	}
	m.settings.Store(cfg)
	if err := m.openThrottle(); err != nil {
		_ = dir.Close()
		return nil, err
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.draining, m.drainNow = context.WithCancel(m.ctx)
	m.presence.conns = map[instance.Role]*instance.Conn{}
	hasher := hasherOf(st.Secret)
	if m.intents, err = m.openIntents(hasher); err != nil {
		_ = dir.Close()
		return nil, err
	}
	if err := m.openKept(hasher, st); err != nil {
		_ = m.intents.Close()
		_ = dir.Close()
		return nil, err
	}
	m.remember(st)
	m.paused = st.Paused
	if m.two, err = planTwoWay(cfg.ListenTarget, st, m.kept); err != nil {
		_ = m.closeKept()
		_ = m.intents.Close()
		_ = dir.Close()
		return nil, err
	}
	m.cfg = m.two.settingsOf(cfg)
	cfg = m.cfg
	m.ledger = ledger.New(ledger.Options{
		TwoWay:   m.twoWay(),
		Decided:  m.decided,
		Hasher:   hasher,
		Intents:  m.intents,
		MaxDirty: cfg.MaxDirtyKeys,
		Extends:  cfg.Expiry.ExtendBy > 0,
		MaxExact: cfg.ExactKeys,
		Now:      func() int64 { return time.Now().UnixNano() },
	})
	m.ledger.OnChange(m.wake)
	if err := m.leaveTwoWay(); err != nil {
		_ = m.closeKept()
		_ = m.intents.Close()
		_ = dir.Close()
		return nil, err
	}
	options := proxy.Options{
		TwoWay:      m.twoWay(),
		Source:      source,
		Moves:       m.moves,
		Renumbered:  target.Renumbers(),
		Extend:      cfg.Expiry.ExtendBy,
		ID:          st.ID,
		Generation:  strconv.FormatInt(st.Generation, 10),
		Lanes:       cfg.Lanes,
		MaxLagBytes: int(cfg.MaxLagBytes),
		AckBoth:     cfg.Ack == "both",
		AckTimeout:  cfg.AckTimeout,
		PrimaryWait: cfg.Primary.Wait,
		Settle:      cfg.Secondary.Settle,
		Info:        m.info,
		OnConnect:   m.onConnect,
		OnReadOnly:  m.lookSoon,
		Scripts:     scriptModes[cfg.Scripts],
		Descriptors: descriptors(cfg, log),
		Log:         log,
	}
	if err := allow(&options, cfg); err != nil {
		_ = m.intents.Close()
		_ = dir.Close()
		return nil, err
	}
	m.shard = proxy.NewShard(m.ledger, m.primaryOf(st.Phase), instance.Facts{}, 16, options)
	m.shard.SetScanEpoch(st.ScanEpoch)
	m.shard.SetShadowReads(float64(cfg.Verify.ShadowReads))
	listener, err := listen(cfg.Listen, cfg, log)
	if err != nil {
		m.shard.Close()
		_ = m.intents.Close()
		_ = dir.Close()
		return nil, err
	}
	m.source.NotAt(listener.Addr())
	m.target.NotAt(listener.Addr())
	limits := resp.DefaultLimits
	limits.MaxBulk, limits.MaxArgs = int64(cfg.Clients.MaxBulkBytes), cfg.Clients.MaxArgs
	limits.MaxInline = int(cfg.Clients.MaxInlineBytes)
	limits.MaxCommand = max(limits.MaxCommand, 2*limits.MaxBulk)
	so := proxy.ServerOptions{
		Limits:       limits,
		MaxClients:   cfg.Clients.Max,
		OutputLimit:  int(cfg.Clients.OutputLimitBytes),
		Memory:       int64(cfg.Clients.MemoryBytes),
		WriteTimeout: cfg.Clients.WriteTimeout,
		IdleTimeout:  cfg.Clients.IdleTimeout,
		KeepAlive:    cfg.Clients.TCPKeepalive,
		Log:          log,
	}
	m.server = proxy.NewServer(m.shard, listener, so)
	if err := m.openTwoWay(options, so); err != nil {
		_ = listener.Close()
		m.shard.Close()
		_ = m.intents.Close()
		_ = dir.Close()
		return nil, err
	}
	m.openGovernor()
	m.verifies.known = make(chan struct{})
	m.openChronicle()
	return m, nil
}

// primaryOf is the instance that answers in a phase.
func (m *Migration) primaryOf(phase string) *instance.Instance {
	if phase == status.Reversed || phase == status.Finished {
		return m.target
	}
	return m.source
}

func (m *Migration) other(i *instance.Instance) *instance.Instance {
	if i == m.source {
		return m.target
	}
	return m.source
}

// Addr is where clients connect.
func (m *Migration) Addr() string { return m.server.Addr().String() }

// TakenUp is closed once clients are served: what an earlier process left is taken up.
func (m *Migration) TakenUp() <-chan struct{} { return m.takenUp }

// Run serves until ctx ends, then drains. The error is ErrUnsettled when writes were left, ErrPair when the
// pair is another process'.
func (m *Migration) Run(ctx context.Context) error {
	defer m.dir.Close()
	err := m.claimPair(ctx)
	if err == nil {
		err = m.serve(ctx)
	} else {
		m.shutServers(context.Background())
	}
	m.cancel()
	m.eachShard((*proxy.Shard).Close)
	m.work.Wait()
	m.closeTraces()
	m.leave()
	err = errors.Join(err, m.closeKept(), m.closeIntents())
	m.closeChronicle(err)
	return err
}

var errEnding = &admin.Refused{Message: "the process is ending", Blockers: []status.Blocker{{
	Code: "ending", Message: "clients are being drained", Remedy: "ask the next process"}}}

// beginStep waits until the phase of an earlier process has been taken up (the admin address answers before) and no
// other step changes it. The caller unlocks m.step if it returns nil.
func (m *Migration) beginStep() error {
	select {
	case <-m.takenUp:
	case <-m.draining.Done():
		return errEnding
	}
	m.step.Lock()
	if m.draining.Err() != nil {
		m.step.Unlock()
		return errEnding
	}
	return nil
}

// stepContext bounds what a step waits for: by its caller, by cutover.wait, and by the end of the process.
func (m *Migration) stepContext(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, m.live().Cutover.Wait)
	stop := context.AfterFunc(m.draining, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

func (m *Migration) serve(ctx context.Context) error {
	m.log.Info("serving", "listen", m.Addr(), "phase", m.state.Phase, "primary", m.shard.Primary().String(),
		"source", m.source.Addr, "target", m.target.Addr)
	begin := m.state.Phase == status.Passthrough && m.cfg.Start == "auto"
	m.resume()
	close(m.takenUp)
	m.openTraces()
	m.eachShard((*proxy.Shard).Open)
	m.work.Go(m.watch)
	m.work.Go(m.observe)
	m.work.Go(m.keepHistory)
	m.work.Go(m.takeUpVerifies)
	m.work.Go(m.turnIntents)
	m.work.Go(m.syncKept)
	m.work.Go(m.followPlan)
	m.work.Go(m.followWindows)
	m.work.Go(m.govern)
	if m.cfg.Cutover.Trial.Time > 0 {
		m.shard.TimeAnswers(m.cfg.Cutover.Trial.MaxLatency)
		m.work.Go(m.followTrial)
	}
	if begin {
		m.work.Go(m.autoStart)
	}
	served := make(chan error, 2)
	m.work.Go(func() { served <- m.server.Serve() })
	if m.two != nil {
		m.work.Go(func() { served <- m.two.server.Serve() })
	}
	if m.twoWay() {
		m.work.Go(m.followTwoWay)
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
	case err = <-m.fatal:
	}
	return errors.Join(err, m.drain())
}

// wake is called by the ledger, under its lock, when there may be more to do.
func (m *Migration) wake() {
	if l := m.linked.Load(); l != nil {
		l.wake()
	}
}

// save writes a changed state, and keeps it only if that succeeded. Nobody else waits for the disk.
func (m *Migration) save(change func(s *state.State)) error {
	m.saving.Lock()
	defer m.saving.Unlock()
	m.mu.Lock()
	s := m.state
	m.describe(&s)
	m.mu.Unlock()
	change(&s)
	err := m.write(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil:
		m.state = s
		if m.unsaved != "" {
			m.log.Info("the state directory can be written again", "dir", m.cfg.StateDir)
		}
		m.unsaved = ""
	default:
		if m.unsaved == "" {
			m.log.Error("the state directory cannot be written", "dir", m.cfg.StateDir, "error", err)
		}
		m.unsaved = err.Error()
	}
	return err
}

func (m *Migration) write(s state.State) error {
	if m.hooks.save != nil {
		if err := m.hooks.save(); err != nil {
			return err
		}
	}
	return m.dir.Save(s)
}

// saveAgain writes what could not be written, as soon as that is possible.
func (m *Migration) saveAgain() {
	m.syncKeptAgain()
	m.mu.Lock()
	unsaved := m.unsaved != ""
	m.mu.Unlock()
	if !unsaved || m.save(func(*state.State) {}) != nil {
		return
	}
	if m.phase() == status.Synced {
		m.swept()
	}
}

// phase is the present one. backfill and synced differ by whether a sweep is owed.
func (m *Migration) phase() string {
	m.mu.Lock()
	p := m.state.Phase
	m.mu.Unlock()
	if p != status.Backfill && p != status.Synced {
		return p
	}
	if m.linked.Load() == nil {
		return status.Backfill // written down, and about to begin
	}
	m.ledger.Lock()
	defer m.ledger.Unlock()
	return m.phaseLocked()
}

// phaseLocked is phase with the ledger's lock held.
func (m *Migration) phaseLocked() string {
	m.mu.Lock()
	p := m.state.Phase
	m.mu.Unlock()
	switch {
	case p != status.Backfill && p != status.Synced:
		return p
	case m.linked.Load() == nil || m.ledger.Sweeping():
		return status.Backfill
	}
	return status.Synced
}
