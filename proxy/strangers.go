package proxy

import (
	"context"
	"errors"
	"sync"

	"tandem/internal/instance"
	"tandem/router"
)

// strangers are scripts that clients have run by a name that says nothing to us: they were loaded before there was
// a proxy. Valkey shows their sources, Redis shows them to nobody.
type strangers struct {
	mu    sync.Mutex
	names map[string]bool // true: asked already
}

// maxStrangers bounds how many are remembered; names come from clients.
const maxStrangers = 256

func (s *strangers) add(name []byte) {
	if len(name) != 40 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.names[string(name)]; !known && len(s.names) < maxStrangers {
		if s.names == nil {
			s.names = map[string]bool{}
		}
		s.names[string(name)] = false
	}
}

// take returns those that are to be asked for, once each.
func (s *strangers) take() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, asked := range s.names {
		if !asked {
			names = append(names, name)
			s.names[name] = true
		}
	}
	return names
}

// meetStrangers asks the primary for the sources of scripts that are run by unknown names.
func (sh *Shard) meetStrangers(primary *instance.Instance, server router.Server) error {
	if !server.Valkey || server.Version < 80000 {
		return nil
	}
	names := sh.scripts.strangers.take()
	if len(names) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(sh.ctx, librariesTimeout)
	defer cancel()
	c, err := primary.Conn(ctx, sh.ConnName("libraries"), 0)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, name := range names {
		v, err := c.Do(ctx, "SCRIPT", "SHOW", name)
		var refused *instance.ReplyError
		switch {
		case errors.As(err, &refused): // it has none of that name, or tells nobody
		case err != nil:
			return err
		default:
			sh.scripts.book.Loaded(v.Str)
		}
	}
	return nil
}
