package admin

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// The system's lists of TCP connections; where they are not there, nobody's user is known.
var connectionLists = []string{"/proc/net/tcp", "/proc/net/tcp6"}

// userOf is the user on this machine whose program has sent a request; empty where it came from another one, or the system does
// not tell. A container has a list of its own: who asks from outside of it is not on it.
func userOf(r *http.Request) string {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		return ""
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	to, err2 := netip.ParseAddrPort(local.String())
	if err != nil || err2 != nil || !from.Addr().Unmap().IsLoopback() && from.Addr().Unmap() != to.Addr().Unmap() {
		return ""
	}
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	for _, list := range connectionLists {
		if uid, found := findConnection(list, from, to); found {
			if u, err := user.LookupId(uid); err == nil {
				return u.Username
			}
			return uid
		}
	}
	return ""
}

// findConnection looks in a list for the end of a connection that is at from, and returns whose it is.
func findConnection(list string, from, to netip.AddrPort) (uid string, found bool) {
	file, err := os.Open(list)
	if err != nil {
		return "", false
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // sl local_address rem_address st queues tr:tm->when retrnsmt uid ...
		// Only an open one (01): of those that are ending the system says that they are root's.
		if len(fields) < 8 || fields[3] != "01" || !isAddress(fields[1], from) || !isAddress(fields[2], to) {
			continue
		}
		return fields[7], true
	}
	return "", false
}

// isAddress tells whether a text of the list, hex in the machine's order of bytes by groups of four, is an address.
func isAddress(text string, want netip.AddrPort) bool {
	host, port, _ := strings.Cut(text, ":")
	if n, err := strconv.ParseUint(port, 16, 16); err != nil || uint16(n) != want.Port() {
		return false
	}
	b, err := hex.DecodeString(host)
	if err != nil || len(b)%4 != 0 {
		return false
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	addr, ok := netip.AddrFromSlice(b)
	return ok && addr.Unmap() == want.Addr()
}
