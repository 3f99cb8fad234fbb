package config

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"unicode"

	"tandem/internal/tlsconn"
)

// maxHeaders bounds the file of headers, in bytes.
const maxHeaders = 64 << 10

// Header reads the headers that go with what is sent to the collector; there may be none. The file is read at each call, so
// that it can be replaced while Tandem runs. The error says nothing of what is in it.
func (t Tracing) Header() (http.Header, error) {
	header := http.Header{}
	if t.HeadersFile == "" {
		return header, nil
	}
	text, err := os.ReadFile(t.HeadersFile)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the headers: %w", err)
	case len(text) > maxHeaders:
		return nil, fmt.Errorf("%s is larger than %d bytes", t.HeadersFile, maxHeaders)
	}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	lines.Buffer(nil, maxHeaders+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || value == "" || strings.ContainsFunc(name, notInHeaderName) || strings.ContainsFunc(value, notInHeaderValue) {
			return nil, fmt.Errorf("line %d of %s is not a header: write Name: value", n, t.HeadersFile)
		}
		header.Add(name, value)
	}
	return header, lines.Err()
}

func notInHeaderName(r rune) bool {
	return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

func notInHeaderValue(r rune) bool { return r != '\t' && (r < ' ' || r == 0x7f) }

// TLSOptions are what a connection to the collector needs if its URL turns TLS on.
func (t Tracing) TLSOptions() tlsconn.ClientOptions { return t.TLS.options("tracing.tls.") }

// tracing checks where traces are sent.
func (v *validator) tracing() {
	t := v.config.Tracing
	https := false
	if t.Endpoint != "" {
		u, err := url.Parse(t.Endpoint)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			v.add(Problem{Key: "tracing.endpoint", Wrong: "is not a URL", Do: "write http://host:4318/v1/traces, or https://..."})
		case u.User != nil || u.RawQuery != "":
			v.add(Problem{Key: "tracing.endpoint", Wrong: "has credentials or a query in it, which would be shown", Do: "put what the collector asks for into tracing.headers_file"})
		case u.Path == "" || u.Path == "/":
			v.add(Problem{Key: "tracing.endpoint", Value: t.Endpoint, Wrong: "has no path", Do: "write the whole URL, which for most collectors ends in /v1/traces"})
		default:
			https = u.Scheme == "https"
		}
	}
	if _, err := t.Header(); err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = fmt.Errorf("read the headers: %w", path.Err)
		}
		v.add(Problem{Key: "tracing.headers_file", Value: t.HeadersFile, Wrong: "cannot be used", Do: err.Error()})
	}
	v.clientTLS("tracing.tls.", t.TLS, https, "tracing.endpoint does not begin with https://", "write https:// there")
}
