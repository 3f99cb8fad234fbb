package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"

	"tandem/internal/instance"
)

// URL is the address of an instance, with the password that it may hold hidden wherever it is printed.
type URL string

// place is what may stand behind user and password: host, port and database. Anything else may be a
// password that is in the wrong place.
var place = regexp.MustCompile(`^([^:/?#\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{0,5})?(/[0-9]{0,5})?$`)

// split cuts a URL at its scheme and at the last "@", as package instance does: a password may hold others.
func (u URL) split() (scheme, user, rest string) {
	scheme, rest, ok := strings.Cut(string(u), "://")
	if !ok {
		return "", "", string(u)
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, rest = rest[:at+1], rest[at+1:]
	}
	return scheme, user, rest
}

// TLS tells whether the URL asks for TLS.
func (u URL) TLS() bool {
	scheme, _, _ := u.split()
	return strings.EqualFold(strings.TrimSpace(scheme), "rediss")
}

// String is the URL with *** for the password, and for all of it where it is not clear what is a password.
func (u URL) String() string {
	if u == "" {
		return ""
	}
	scheme, user, rest := u.split()
	if scheme == "" || !place.MatchString(rest) {
		return hidden
	}
	if user != "" {
		name, _, hasPassword := strings.Cut(strings.TrimSuffix(user, "@"), ":")
		if !hasPassword {
			name = "" // who forgets the colon has written the password there
		}
		user = name + ":" + hidden + "@"
	}
	return scheme + "://" + user + rest
}

// GoString, LogValue and MarshalText keep the password out of %#v, logs and encodings.
func (u URL) GoString() string             { return strconv.Quote(u.String()) }
func (u URL) LogValue() slog.Value         { return slog.StringValue(u.String()) }
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// DialURL is the URL with the password in it, from wherever the password was given. The file is read at
// each call, so that a password can be replaced while Tandem runs.
//
// The string holds the password: it is for instance.New, not for printing.
func (i Instance) DialURL() (string, error) {
	if i.PasswordFile == "" {
		return string(i.URL), nil
	}
	password, err := readPassword(i.PasswordFile)
	if err != nil {
		return "", err
	}
	scheme, user, rest := i.URL.split()
	if scheme == "" {
		return "", errors.New("the URL has no scheme: write redis://[user:password@]host:port[/db]")
	}
	name, _, hasPassword := strings.Cut(strings.TrimSuffix(user, "@"), ":")
	if hasPassword {
		return "", errors.New("the URL holds a password, and password_file too: remove one of them")
	}
	return scheme + "://" + name + ":" + url.PathEscape(password) + "@" + rest, nil
}

// parse tells whether the URL, with the password of the file, is one that an instance can be made of. Its
// errors never hold any part of the URL.
func (i Instance) parse(role instance.Role) (*instance.Instance, error) {
	u, err := i.DialURL()
	if err != nil {
		return nil, err
	}
	return instance.New(role, u, instance.Options{})
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
	text, err := io.ReadAll(io.LimitReader(f, maxPasswordBytes+1))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	switch {
	case len(text) > maxPasswordBytes:
		return "", fmt.Errorf("read the password: %s is larger than %d bytes", file, maxPasswordBytes)
	case password == "":
		return "", fmt.Errorf("read the password: %s is empty", file)
	case strings.ContainsAny(password, "\r\n"):
		return "", fmt.Errorf("read the password: %s has more than one line", file)
	}
	return password, nil
}
