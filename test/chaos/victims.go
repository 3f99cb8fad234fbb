package chaos

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"tandem/internal/redisd"
	"tandem/test/program"
)

// standsStill reads whether a process is stopped.
func standsStill(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The name stands in parentheses, and may hold anything.
	rest := string(b[strings.LastIndexByte(string(b), ')')+1:])
	return strings.HasPrefix(strings.TrimSpace(rest), "T")
}

// stand stops something for a time and measures how long it stood still.
func stand(pid int, d time.Duration, pause, goOn func() error) (stood time.Duration, err error) {
	if err := pause(); err != nil {
		return 0, err
	}
	since := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for time.Since(since) < d {
		<-tick.C
		if standsStill(pid) {
			stood = time.Since(since)
		}
	}
	return stood, goOn()
}

// serverVictim is a server. It keeps what it has acknowledged if it was started so.
type serverVictim struct {
	mu     sync.Mutex
	server *redisd.Server
}

func (v *serverVictim) kill(dead time.Duration) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.server.Kill()
	if v.server.PID() != 0 {
		return errors.New("it still runs")
	}
	<-time.After(dead)
	return v.server.Restart(true)
}

func (v *serverVictim) stop(d time.Duration) (time.Duration, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return stand(v.server.PID(), d, v.server.Pause, v.server.Continue)
}

// proxyVictim is the program.
type proxyVictim struct {
	mu sync.Mutex
	td *program.Tandem
}

// restartTime bounds how long the program may take from exec to its first status, with everything around it in
// trouble; the old process' connections must be known dead before it may begin.
const restartTime = 60 * time.Second

func (v *proxyVictim) kill(dead time.Duration) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.td.Signal(syscall.SIGKILL)
	<-time.After(dead)
	v.td.Launch()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for since := time.Now(); ; <-tick.C {
		if _, err := v.td.TryStatus(); err == nil {
			return nil
		}
		if !v.td.Running() {
			// Refused: it says why in its log. What it was refused for may pass by itself, as for a service manager.
			v.td.Launch()
		}
		if time.Since(since) > restartTime {
			return fmt.Errorf("no status for %v after a restart", restartTime)
		}
	}
}

func (v *proxyVictim) stop(d time.Duration) (time.Duration, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return stand(v.td.PID(), d, v.td.Pause, v.td.Continue)
}
