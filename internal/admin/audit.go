package admin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"

	"tandem/internal/audit"
)

// requestHeader names a request. A caller may give a name of its own, to find it in the log; the answer has it in any case.
const requestHeader = "X-Request-Id"

// maxRequestName is the longest name of a caller's that is taken, maxShown the most that is recorded of what it says of itself.
const (
	maxRequestName = 64
	maxShown       = 200
)

type requestKey struct{}

// named gives each request a name, for the answer and for what is recorded.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Header.Get(requestHeader)
		if !isRequestName(name) {
			name = newRequestName()
		}
		w.Header().Set(requestHeader, name)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, name)))
	})
}

func newRequestName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it fails never
	return hex.EncodeToString(b[:])
}

// requestName is the name of a request.
func requestName(r *http.Request) string {
	name, _ := r.Context().Value(requestKey{}).(string)
	return name
}

// isRequestName tells what cannot be taken for something else in a log.
func isRequestName(name string) bool {
	return name != "" && len(name) <= maxRequestName && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	})
}

// who is the caller of a request, as far as it is known.
func (s *Server) who(r *http.Request) audit.Who {
	return audit.Who{Name: caller(r).name, Certificate: certificateOf(r), User: userOf(r), From: r.RemoteAddr, Program: shown(r.UserAgent())}
}

// shown is the beginning of what a caller says.
func shown(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "..."
	}
	return text
}
