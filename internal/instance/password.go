package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// password is the present one, which may be replaced where it comes from. Who asks for it waits for no file.
type password struct {
	present   atomic.Pointer[string]
	reread    func() (string, error) // nil: there is no other
	rereading sync.Mutex
}

func (p *password) get() string { return *p.present.Load() }

func (p *password) renew(refused string) (renewed bool, err error) {
	p.rereading.Lock()
	defer p.rereading.Unlock()
	if p.get() != refused {
		return true, nil // somebody else was refused as well, and has done it
	}
	if p.reread == nil {
		return false, nil
	}
	text, err := p.reread()
	if err != nil {
		return false, err
	}
	p.present.Store(&text)
	return text != refused, nil
}

// open dials and greets. Where the server refuses our own password, it was perhaps changed on both sides: it is read anew
// then, and tried once.
func (i *Instance) open(ctx context.Context, g greeting) (c net.Conn, named bool, err error) {
	used := i.password()
	c, named, err = i.openOnce(ctx, g)
	if err == nil || !i.auth || g.login.Someone || !errors.Is(err, ErrCredentials) {
		return c, named, err
	}
	renewed, readErr := i.renew(used)
	switch {
	case readErr != nil:
		return nil, false, fmt.Errorf("%w; and it cannot be read anew: %w", err, readErr)
	case renewed:
		return i.openOnce(ctx, g)
	}
	return nil, false, err
}
