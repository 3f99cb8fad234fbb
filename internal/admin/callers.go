package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
)

// Caller is one who may ask.
type Caller struct {
	// Name is what the record of steps calls it; empty for the one without a name.
	Name string
	// Token must be sent as "Authorization: Bearer ...".
	Token string
	// ReadOnly: it may look at everything and change nothing.
	ReadOnly bool
}

// known is a Caller by the digest of its token, whose length tells nothing of the token's.
type known struct {
	name     string
	readOnly bool
	digest   [sha256.Size]byte
}

// callers are all who may ask; nil: everybody may.
type callers []known

func newCallers(list []Caller) (all callers) {
	for _, c := range list {
		all = append(all, known{name: c.Name, readOnly: c.ReadOnly, digest: sha256.Sum256([]byte(c.Token))})
	}
	return all
}

// of returns who has sent a request; ok is false if the token is missing or nobody's.
func (all callers) of(r *http.Request) (who known, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(token)))
	for _, k := range all { // all of them, or the time would tell which
		if subtle.ConstantTimeCompare(got[:], k.digest[:]) == 1 {
			who, ok = k, true
		}
	}
	return who, ok && strings.EqualFold(scheme, "Bearer")
}

// mayAsk reports whether who has sent a request may ask, as it is now.
func (s *Server) mayAsk(r *http.Request) bool {
	all := *s.callers.Load()
	_, ok := all.of(r)
	return ok || len(all) == 0
}

// SetCallers changes who may ask, from the next request on; who watches and may not any more is sent away. It refuses to let everybody in from other machines.
func (s *Server) SetCallers(list []Caller) error {
	if len(list) == 0 && !isLoopback(s.options.Addr) {
		return fmt.Errorf("admin address %s is open to other machines: it needs a token", s.options.Addr)
	}
	all := newCallers(list)
	s.callers.Store(&all)
	s.live.tellNow()
	return nil
}

type callerKey struct{}

// caller is who has sent a request that guard has let through.
func caller(r *http.Request) known {
	who, _ := r.Context().Value(callerKey{}).(known)
	return who
}
