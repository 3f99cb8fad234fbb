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
	// hidden are those that the primary has and does not show.
	hidden []string
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
	v, err := c.Do(ctx, append([]string{"SCRIPT", "EXISTS"}, names...)...)
	var refused *instance.ReplyError
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	var hidden []string
	for i, name := range names {
		if i < len(v.Elems) && v.Elems[i].Int == 0 {
			continue // there is no such script: the client was told so, and will send its source
		}
		if !server.Valkey || server.Version < 80000 {
			hidden = append(hidden, name)
			continue
		}
		switch v, err := c.Do(ctx, "SCRIPT", "SHOW", name); {
		case errors.Is(err, instance.ErrCommandRefused):
			hidden = append(hidden, name)
		case errors.As(err, &refused): // it is gone
		case err != nil:
			return err
		default:
			sh.scripts.book.Loaded(v.Str)
		}
	}
	if len(hidden) > 0 {
		sh.opt.Log.Warn("scripts are run by their hash whose source the server does not show: have them loaded through Tandem (SCRIPT LOAD)",
			"instance", primary.String(), "scripts", hidden)
		sh.scripts.strangers.hide(hidden)
	}
	return nil
}

// hide remembers scripts that the primary does not show.
func (s *strangers) hide(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden = append(s.hidden, names...)
}

// HiddenScripts is how many scripts clients have run by their hash that the primary does not show, and that have not
// been seen since. The lock is not needed.
func (sh *Shard) HiddenScripts() (n int) {
	s := &sh.scripts.strangers
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.hidden {
		if sh.scripts.book.Named([]byte(name)) == nil {
			n++
		}
	}
	return n
}
