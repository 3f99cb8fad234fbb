package config

import (
	"fmt"
	"io"
	"log/slog"
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

// ReadPassword reads PasswordFile, at each call: a password can be replaced while Tandem runs.
func (i Instance) ReadPassword() (string, error) { return readPassword(i.PasswordFile) }

// parse tells whether the URL, with the password of the file, is one that an instance can be made of. Its
// errors never hold any part of the URL.
func (i Instance) parse(role instance.Role) (*instance.Instance, error) {
	var o instance.Options
	if i.PasswordFile != "" {
		var err error
		if o.Password, err = i.ReadPassword(); err != nil {
			return nil, err
		}
	}
	return instance.New(role, string(i.URL), o)
}

// maxPasswordBytes is far above any password: what is larger is the wrong file.
const maxPasswordBytes = 64 << 10

// readPassword returns the content of a file without the line break at its end.
func readPassword(file string) (string, error) { return readSecret("password", file) }

// readSecret is readPassword of a secret that errors call what.
func readSecret(what, file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPasswordBytes+1))
	if err != nil {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	switch {
	case len(text) > maxPasswordBytes:
		return "", fmt.Errorf("read the %s: %s is larger than %d bytes", what, file, maxPasswordBytes)
	case secret == "":
		return "", fmt.Errorf("read the %s: %s is empty", what, file)
	case strings.ContainsAny(secret, "\r\n"):
		return "", fmt.Errorf("read the %s: %s has more than one line", what, file)
	}
	return secret, nil
}
