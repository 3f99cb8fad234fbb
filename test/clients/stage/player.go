package stage

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Part is one workload.
type Part struct {
	// Name says what it does; it is unique on its stage.
	Name string
	// Rounds is how many rounds must be done in each phase; 0: defaultRounds.
	Rounds int64
	// Play does rounds for as long as p.Going(). An error is what a client must never see: it ends the test.
	Play func(p *Player) error
}

// defaultRounds is enough for each kind of command to happen in each phase, and little enough for a slow client.
const defaultRounds = 5

// roundTime bounds a round, on a loaded machine and with a switch in between: a part that gets nothing done for
// so long is a client that hangs. A million commands are one round of redis-cli.
func roundTime() time.Duration {
	if Full {
		return 4 * time.Minute
	}
	return 45 * time.Second
}

// Player is what a part sees of its stage. Its methods may be called from several goroutines.
type Player struct {
	// Addr is where clients connect: the program's listener, or a server when the run is without it.
	Addr string
	// Prefix begins all names (keys, channels) that the part uses, so that parts do not meet.
	Prefix string
	// Features are the commands that both servers have.
	Features Features

	part     Part
	stage    *Stage
	rounds   atomic.Int64
	target   atomic.Int64  // rounds that are wanted until the end of the phase
	stopping chan struct{} // closed when the walk is over
	ended    chan struct{} // closed when Play has returned
	err      error         // of Play; read after ended

	mu       sync.Mutex
	announce func(underway bool)
}

// Going says whether another round is wanted.
func (p *Player) Going() bool {
	select {
	case <-p.stopping:
		return false
	default:
		return true
	}
}

// Stopping is closed when no more rounds are wanted.
func (p *Player) Stopping() <-chan struct{} { return p.stopping }

// rest is what a part does after each round when it has done those that are wanted in a phase: it goes on, but
// leaves the machine to those that have not.
const rest = 25 * time.Millisecond

// Round counts a round, whose replies were all right, and returns how many there were.
func (p *Player) Round() int64 {
	n := p.rounds.Add(1)
	if n > p.target.Load() {
		select {
		case <-p.stopping:
		case <-time.After(rest):
		}
	}
	return n
}

// Key is a name that belongs to this part alone.
func (p *Player) Key(format string, args ...any) string {
	return p.Prefix + fmt.Sprintf(format, args...)
}

// Moment is a point of the walk, to ask later whether a switch has been on since.
type Moment int64

// Moment is now.
func (p *Player) Moment() Moment { return Moment(p.stage.switches.Load()) }

// Switched says whether a cutover or rollback was under way at any time since m. It is the one excuse for an
// EXEC that answers nil though nobody has touched what it watches.
func (p *Player) Switched(m Moment) bool {
	return m%2 == 1 || p.stage.switches.Load() != int64(m)
}

// OnSwitch has f called before a cutover or rollback is asked for, and after it was answered. f returns when the
// client knows. It is for clients in another process, which cannot call Switched.
func (p *Player) OnSwitch(f func(underway bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.announce = f
}

// Context ends after a bound that no round of a healthy client comes near.
func (p *Player) Context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), roundTime())
}

func (p *Player) play() {
	defer close(p.ended)
	p.err = p.part.Play(p)
	if p.err == nil && p.Going() {
		p.err = fmt.Errorf("ended by itself after %d rounds", p.rounds.Load())
	}
}

// wanted is how many rounds the part has to do in a phase.
func (p *Player) wanted() int64 {
	if p.part.Rounds > 0 {
		return p.part.Rounds
	}
	return defaultRounds
}

// problem is the error that has ended the part, if one has.
func (p *Player) problem() error {
	select {
	case <-p.ended:
		return p.err
	default:
		return nil
	}
}
