package instance

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"strconv"
)

// Login is in whose name a connection of a lane is opened, and what it speaks. The zero value is the
// instance's own credentials and RESP2.
type Login struct {
	// Someone: not the instance's own credentials, but User with Password, or, if User is empty, nobody: such
	// a connection is what the server takes an unauthenticated client for.
	Someone        bool
	User, Password string
	// RESP3 switches the connection to RESP3.
	RESP3 bool
}

// OpenAs is Open in somebody's name. Whatever that user may not do, HELLO and what goes with it is allowed to
// everyone.
func (i *Instance) OpenAs(ctx context.Context, l Login, name string, db int) (c net.Conn, named bool, err error) {
	return i.open(ctx, greeting{name: name, db: db, login: l})
}

// hello is the one command that greets in somebody's name, or in RESP3.
func (l Login) hello(name string) step {
	args := []string{"HELLO", "2"}
	if l.RESP3 {
		args[1] = "3"
	}
	if l.User != "" {
		args = append(args, "AUTH", l.User, l.Password)
	}
	if name != "" {
		args = append(args, "SETNAME", name)
	}
	return step{args: args, user: l.User}
}

// own is l with the instance's credentials, when it is theirs.
func (i *Instance) own(l Login) Login {
	if !l.Someone && i.auth {
		l.User, l.Password = i.User, i.password()
		if l.User == "" {
			l.User = DefaultUser
		}
	}
	return l
}

// Credentials are the instance's own user and password; of one that needs none, what any such server takes.
func (i *Instance) Credentials() (user, password string) {
	own := i.own(Login{})
	if own.User == "" {
		own.User = DefaultUser
	}
	return own.User, own.Password
}

// DefaultUser is the name of the user whose password a client gives that names none.
const DefaultUser = "default"

// HasCredentials reports whether the URL names a user or a password.
func (i *Instance) HasCredentials() bool { return i.auth }

// IsOwn reports whether user and password are the instance's own credentials. It takes the same time for
// every wrong password.
func (i *Instance) IsOwn(user, password string) bool {
	own := i.own(Login{})
	if !i.auth || user != own.User {
		return false
	}
	a, b := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(own.Password))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// selectStep chooses a database.
func selectStep(db int) step { return step{args: []string{"SELECT", strconv.Itoa(db)}} }
