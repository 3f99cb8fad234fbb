package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"tandem/internal/demo/text"
	"tandem/internal/notify"
	"tandem/internal/status"
	"tandem/migration"
)

// serviceInterval is how often the service manager is told what the process does, if that has changed.
const serviceInterval = 5 * time.Second

// service is the process as its service manager sees it.
type service struct {
	manager    notify.Manager
	migration  *migration.Migration
	log        *slog.Logger
	complained bool
}

func newService(m *migration.Migration, log *slog.Logger) *service {
	return &service{manager: notify.New(), migration: m, log: log}
}

// tell tells the service manager that clients are served, then how it stands until serving ends, and that the end has
// begun; ended is over when the process has nothing left to do.
func (s *service) tell(serving, ended context.Context) {
	select {
	case <-s.migration.TakenUp():
		s.noted(s.manager.Ready())
	case <-serving.Done():
	case <-ended.Done():
	}
	tick := time.NewTicker(serviceInterval)
	defer tick.Stop()
	for shown := ""; serving.Err() == nil && ended.Err() == nil; {
		if line := serviceLine(s.migration.Status()); line != shown {
			shown = line
			s.noted(s.manager.Status(line))
		}
		select {
		case <-tick.C:
		case <-serving.Done():
		case <-ended.Done():
		}
	}
	s.noted(s.manager.Stopping())
}

// noted logs the first time that the manager could not be told: the service itself works.
func (s *service) noted(err error) {
	if err != nil && !s.complained {
		s.complained = true
		s.log.Warn("the service manager is told nothing", "error", err)
	}
}

// serviceLine is the status in one line.
func serviceLine(s status.Status) string {
	line := s.Phase + ": " + s.Meaning()
	if percent, known := s.Backfill.Percent.Get(); known && s.Phase == status.Backfill {
		line += fmt.Sprintf(", %.0f %%", percent)
	}
	line += fmt.Sprintf("; %s sessions", text.Count(s.Sessions))
	if len(s.Blockers) > 0 {
		line += "; " + s.Blockers[0].Code + ": " + s.Blockers[0].Message
	}
	return line
}
