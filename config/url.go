package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// URL is the address of an instance, with the password that it may hold hidden wherever it is printed.
type URL string

// String is the URL with *** for the password, and for all of it where it is not clear what is a password.
func (u URL) String() string {
	s := string(u)
	if s == "" {
		return ""
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || strings.ContainsAny(rest, "?#") {
		return hidden
	}
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return s
	}
	user, _, hasPassword := strings.Cut(rest[:at], ":")
	if hasPassword {
		user += ":" + hidden
	}
	return scheme + "://" + user + rest[at:]
}

// GoString, LogValue and MarshalText keep the password out of %#v, logs and encodings.
func (u URL) GoString() string             { return strconv.Quote(u.String()) }
func (u URL) LogValue() slog.Value         { return slog.StringValue(u.String()) }
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// parse checks the URL. Its errors say what is wrong, and then what to do; they never hold any part of
// the URL (net/url's would hold all of it).
func (u URL) parse() (*url.URL, *Problem) {
	const form = "write redis://[user:password@]host:port[/db]"
	if !strings.Contains(string(u), "://") {
		return nil, &Problem{Wrong: "is not a URL", Do: form}
	}
	p, err := url.Parse(string(u))
	if err != nil {
		return nil, &Problem{Wrong: "is not a URL", Do: form +
			`; in user and password write "/" as %2F, "@" as %40, ":" as %3A, "#" as %23, "?" as %3F, "%" as %25`}
	}
	switch {
	case p.Scheme == "rediss":
		return nil, &Problem{Wrong: "asks for TLS, which is not available in this version", Do: "use redis:// where the network allows it"}
	case p.Scheme != "redis":
		return nil, &Problem{Wrong: "is not a redis:// URL", Do: form}
	case p.Hostname() == "":
		return nil, &Problem{Wrong: "has no host", Do: form}
	case p.RawQuery != "" || p.ForceQuery || p.Fragment != "":
		return nil, &Problem{Wrong: `has something behind "?" or "#"`, Do: form +
			`; in user and password write "?" as %3F and "#" as %23`}
	}
	if port := p.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, &Problem{Wrong: "has a port that is not between 1 and 65535", Do: form}
		}
	}
	if db := strings.Trim(p.Path, "/"); db != "" {
		if _, err := strconv.ParseUint(db, 10, 31); err != nil {
			return nil, &Problem{Wrong: "has a path that is not the number of a database", Do: form}
		}
	}
	return p, nil
}

// Addr is the host:port of the URL, with the default port 6379; empty if the URL is not valid.
func (u URL) Addr() string {
	p, problem := u.parse()
	if problem != nil {
		return ""
	}
	port := p.Port()
	if port == "" {
		port = "6379"
	}
	return net.JoinHostPort(p.Hostname(), port)
}

// DialURL is the URL with the password in it, from wherever the password was given. The file is read at
// each call, so that a password can be replaced while Tandem runs.
//
// The string holds the password: it is for dialling, not for printing.
func (i Instance) DialURL() (string, error) {
	if i.PasswordFile == "" {
		return string(i.URL), nil
	}
	p, problem := i.URL.parse()
	if problem != nil {
		return "", errors.New("the URL " + problem.Wrong)
	}
	password, err := readPassword(i.PasswordFile)
	if err != nil {
		return "", err
	}
	p.User = url.UserPassword(p.User.Username(), password)
	return p.String(), nil
}

// maxPasswordBytes is far above any password: what is larger is the wrong file.
const maxPasswordBytes = 64 << 10

// readPassword returns the content of a file without the line break at its end.
func readPassword(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	defer f.Close()
	b := make([]byte, maxPasswordBytes+1)
	n := 0
	for n < len(b) {
		m, err := f.Read(b[n:])
		n += m
		if err != nil {
			break
		}
	}
	password := strings.TrimRight(string(b[:min(n, maxPasswordBytes)]), "\r\n")
	switch {
	case n > maxPasswordBytes:
		return "", fmt.Errorf("read the password: %s is larger than %d bytes", file, maxPasswordBytes)
	case password == "":
		return "", fmt.Errorf("read the password: %s is empty", file)
	case strings.ContainsAny(password, "\r\n"):
		return "", fmt.Errorf("read the password: %s has more than one line", file)
	}
	return password, nil
}
