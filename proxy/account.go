package proxy

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"tandem/internal/instance"
)

// AuthMode says who may come in.
type AuthMode string

const (
	// AuthServer: whom the primary lets in, by the same credentials, and with the same rights.
	AuthServer AuthMode = "server"
	// AuthUsers: the users of the configuration, with the rights of the proxy's own credentials.
	AuthUsers AuthMode = "users"
	// AuthNone: everybody, with the rights of the proxy's own credentials.
	AuthNone AuthMode = "none"
)

// Auth is who may come in. The zero value is AuthServer.
type Auth struct {
	Mode AuthMode
	// Users of AuthUsers: the SHA-256 of each one's password.
	Users map[string][sha256.Size]byte
	// Reread gives that of a user anew, of those that may be replaced; it is asked at each login, without the lock.
	Reread map[string]func() [sha256.Size]byte
	// Cache is how long a login that the primary has accepted is accepted again without asking it.
	Cache time.Duration
}

// digest is the SHA-256 of a user's password.
func (a *Auth) digest(user string) (digest [sha256.Size]byte, known bool) {
	if reread := a.Reread[user]; reread != nil {
		return reread(), true
	}
	digest, known = a.Users[user]
	return digest, known
}

// account is in whose name sessions are served. Sessions of one account share lanes, and no others do, so the
// primary's rules for that user hold. Under the shard's lock.
//
// The password is known only while the user has sessions: a lane must be opened anew after a failover or a
// cutover. Later logins are compared with a salted hash of it, for a while.
type account struct {
	name     string
	someone  bool // not the proxy's own credentials
	password string
	sessions map[*session]struct{}

	salt     [16]byte
	hash     [sha256.Size]byte
	accepted time.Time // when the primary last accepted that password; zero if never

	permits map[string]permit // by the names of commands that the proxy answers itself
}

// accounts are those in use.
type accounts struct {
	own    *account // served with the proxy's own credentials
	nobody *account // who has not logged in, where the primary serves such clients
	users  map[string]*account
}

func newAccounts() accounts {
	return accounts{own: newAccount("", false), nobody: newAccount("", true), users: map[string]*account{}}
}

// forgetPermits: another instance answers, with rules of its own.
func (a *accounts) forgetPermits() {
	clear(a.nobody.permits)
	for _, user := range a.users {
		clear(user.permits)
	}
}

func newAccount(name string, someone bool) *account {
	return &account{name: name, someone: someone, sessions: map[*session]struct{}{}, permits: map[string]permit{}}
}

// login is what a lane of the account says first.
func (a *account) login(resp3 bool) instance.Login {
	return instance.Login{Someone: a.someone, User: a.name, Password: a.password, RESP3: resp3}
}

// absent reports whether nobody is there who could open a lane: the password is forgotten.
func (a *account) absent() bool { return a.someone && a.name != "" && len(a.sessions) == 0 }

// accept remembers a password that the primary has accepted just now.
func (a *account) accept(password string, now time.Time) {
	_, _ = rand.Read(a.salt[:])
	a.hash, a.accepted = a.salted(password), now
}

// knows reports whether the password is the one that was accepted last, not longer than d ago.
func (a *account) knows(password string, now time.Time, d time.Duration) bool {
	if a.accepted.IsZero() || now.Sub(a.accepted) >= d {
		return false
	}
	hash := a.salted(password)
	return subtle.ConstantTimeCompare(hash[:], a.hash[:]) == 1
}

func (a *account) salted(password string) [sha256.Size]byte {
	return sha256.Sum256(append(a.salt[:len(a.salt):len(a.salt)], password...))
}

// enter makes the session one of the account's, and no longer one of the account's that it was of. The lock is
// held.
func (sh *Shard) enter(s *session, a *account, password string) {
	sh.leave(s)
	s.who = a
	a.sessions[s] = struct{}{}
	if a.name != "" {
		a.password = password
	}
}

// leave forgets the password with the last session that needs it. The lock is held.
func (sh *Shard) leave(s *session) {
	a := s.who
	if a == nil {
		return
	}
	s.who = nil
	if delete(a.sessions, s); len(a.sessions) == 0 {
		a.password = ""
	}
}

// userAccount is the account of a user who logged in with these credentials: the proxy's own account, if they
// are its own, for the other instance may know the same application by other credentials. The lock is held.
func (sh *Shard) userAccount(user, password string) *account {
	if sh.isOwn(user, password) {
		return sh.accounts.own
	}
	a := sh.accounts.users[user]
	if a == nil {
		a = newAccount(user, true)
		sh.accounts.users[user] = a
	}
	return a
}

// isOwn reports whether the credentials are the proxy's own: those of the source, which the application has
// always used, or of the instance that answers now. The lock is held.
func (sh *Shard) isOwn(user, password string) bool {
	return sh.first.IsOwn(user, password) || sh.primary.inst.IsOwn(user, password)
}

// shutOut closes the sessions of an account whose lane the primary no longer lets in, as a server does whose user
// is deleted. An instance that is about to be the primary must not have that effect; and neither a refusal of before
// the primary last accepted such a user: it may have been made anew.
func (sh *Shard) shutOut(ln *lane, asked time.Time) {
	a := ln.who
	sh.lock()
	if ln.of != sh.primary || a.accepted.After(asked) {
		sh.unlock()
		return
	}
	all := make([]*session, 0, len(a.sessions))
	for s := range a.sessions {
		all = append(all, s)
	}
	a.accepted = time.Time{}
	sh.unlock()
	for _, s := range all {
		s.close(ShutOut)
	}
}
