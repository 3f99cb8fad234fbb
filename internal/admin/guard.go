package admin

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tandem/internal/ledger"
)

// guard lets through who may ask.
//
// A page of a foreign site can make a browser on this machine send requests here. Its requests carry the
// site's Origin, or, when the site's name has been made to resolve to this machine (DNS rebinding), its
// name as Host: both are refused, before the token is looked at. So is a step of which the browser says
// (Sec-Fetch-Site) that another site asked for it.
func (s *Server) guard(next http.Handler) http.Handler {
	listenHost, _, _ := net.SplitHostPort(s.options.Addr)
	loopback := isLoopback(s.options.Addr)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer endInPanic()
		extendWriting(w)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if loopback && !isOwnHost(r.Host, listenHost) {
			s.denied(r, "it asks for another host")
			writeError(w, http.StatusForbidden, "this address serves only its own machine: ask for localhost or 127.0.0.1")
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" && !sameOrigin(origin, r.Host) || isForeignStep(r) {
			s.denied(r, "it is from a page of another site")
			writeError(w, http.StatusForbidden, "requests from pages of other sites are refused")
			return
		}
		all := *s.callers.Load()
		who, ok := all.of(r)
		if ok {
			r = r.WithContext(context.WithValue(r.Context(), callerKey{}, who))
		} else if len(all) > 0 && !s.isOpen(r.URL.Path) {
			s.denied(r, "its token is missing or wrong")
			w.Header().Set("WWW-Authenticate", `Bearer realm="tandem"`)
			writeError(w, http.StatusUnauthorized, "the token is missing or wrong: send Authorization: Bearer TOKEN")
			return
		}
		if who.readOnly && r.Method != http.MethodGet && r.Method != http.MethodHead && !asksOnly(r.URL.Path) {
			s.mayOnlyRead(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// endInPanic ends the process when a request has ended in a panic. The HTTP server would log that and go on; but what
// the request was about to change is half changed, and a lock that it held is held for ever.
func endInPanic() {
	if v := recover(); v != nil && v != http.ErrAbortHandler {
		ledger.End(v)
	}
}

// extendWriting gives the answer its time, counted from now: a step may have taken longer before.
func extendWriting(w http.ResponseWriter) {
	// It fails only for a connection that is gone, which the write will find.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
}

// isOpen are the paths that need no token: probes, which say yes or no, and the dashboard's files, which hold nothing.
func (s *Server) isOpen(path string) bool {
	return path == "/healthz" || path == "/readyz" || s.page.Has(path)
}

// asksOnly are the paths at which a POST may ask and change nothing; what is there looks itself.
func asksOnly(path string) bool { return path == "/api/v1/throttle" || path == "/api/v1/log" }

// mayOnlyRead answers a caller whose token is for reading.
func (s *Server) mayOnlyRead(w http.ResponseWriter, r *http.Request) {
	s.denied(r, "its token is for reading only")
	writeError(w, http.StatusForbidden, "the token of "+caller(r).name+" may read and change nothing: its role is read")
}

// isLoopback tells whether only this machine can connect to an address that is listened on.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && isLoopbackHost(host)
}

func isLoopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// isOwnHost tells whether a Host header names this machine, whatever the port.
func isOwnHost(header, listenHost string) bool {
	host := (&url.URL{Host: header}).Hostname()
	return isLoopbackHost(host) || host != "" && strings.EqualFold(host, listenHost)
}

// isForeignStep tells whether a browser says that a request which changes something comes from a page of another site.
// (What only asks is let through: a page may link to this one.)
func isForeignStep(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return r.Method != http.MethodGet && r.Method != http.MethodHead && site != "" && site != "same-origin" && site != "none"
}

// sameOrigin tells whether a page came from the host that the request is for.
func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && strings.EqualFold(u.Host, host)
}
