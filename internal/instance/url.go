package instance

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// location is what a URL says.
type location struct {
	addr        string
	user        string
	password    string
	hasPassword bool
	db          int
	tls         bool // rediss
}

// parseURL reads redis://[user:password@]host:port[/db] and rediss://, which is the same with TLS.
//
// It does not use url.Parse: that one quotes the whole URL in its errors, password included, and rejects
// or misreads passwords with '@', '/', '#' or '?' in them, which are the ones that generators make.
// Here everything up to the last '@' is user and password, so only '%' has to be escaped (as %25).
func parseURL(raw string) (location, error) {
	var l location
	raw = strings.TrimSpace(raw)
	scheme, rest, ok := strings.Cut(raw, "://")
	switch {
	case raw == "":
		return l, errors.New("is empty: write redis://[user:password@]host:port[/db]")
	case !ok:
		return l, errors.New("has no scheme: write redis://[user:password@]host:port[/db]")
	case strings.EqualFold(scheme, "rediss"):
		l.tls = true
	case !strings.EqualFold(scheme, "redis"):
		return l, errors.New("has an unknown scheme: write redis://[user:password@]host:port[/db], or rediss:// for TLS")
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if err := l.setUserinfo(rest[:at]); err != nil {
			return l, err
		}
		rest = rest[at+1:]
	}
	// From here on nothing is secret, unless a password with '@' was cut in the wrong place; so what
	// follows names the part that is wrong and does not repeat it, the db number excepted.
	hostport, db, hasDB := strings.Cut(rest, "/")
	if strings.ContainsAny(rest, "?#") {
		return l, errors.New("has options after '?' or '#': there are none; settings are in the configuration")
	}
	if hasDB && db != "" {
		n, err := strconv.Atoi(db)
		if err != nil || n < 0 {
			return l, errors.New("has a path that is not a database number: write .../0 or leave it out")
		}
		l.db = n
	}
	return l, l.setAddr(hostport)
}

func (l *location) setUserinfo(s string) error {
	user, password, hasPassword := strings.Cut(s, ":")
	var err error
	if l.user, err = url.PathUnescape(user); err == nil {
		l.password, err = url.PathUnescape(password)
	}
	if err != nil {
		return errors.New("has a '%' in user or password that is not followed by two hex digits: " +
			"write a percent sign as %25")
	}
	// "redis://:@host" names neither: as good as nothing.
	l.hasPassword = hasPassword && (l.user != "" || l.password != "")
	return nil
}

func (l *location) setAddr(hostport string) error {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		// Without a port; what is left must not have a colon outside of brackets.
		host, port = hostport, "6379"
		if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
			host = host[1 : len(host)-1]
		} else if strings.ContainsAny(host, ":[]") {
			return errors.New("has a host and port that cannot be told apart: write host:port, or [address]:port for IPv6")
		}
	}
	if host == "" {
		return errors.New("has no host: write redis://host:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("has a port that is not a number from 1 to 65535")
	}
	l.addr = net.JoinHostPort(strings.ToLower(host), port)
	return nil
}
