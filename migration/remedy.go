package migration

import (
	"errors"
	"fmt"
	"strings"

	"tandem/internal/instance"
)

// remedies say what to do about what keeps a connection from coming about, by words of its error that no other error
// has. The first that fits counts.
var remedies = []struct{ words, remedy string }{
	{instance.ErrCredentials.Error(), "write the new password into %[1]s.password_file, which is read again at once, or give the server " +
		"the user and password that %[1]s.url has; a new URL needs a restart, by which no acknowledged write is lost"},
	{"maxclients is reached", "raise maxclients on the server, or close connections of others there"},
	{"is loading its data", "wait until it has loaded its data"},
	{"LOADING ", "wait until it has loaded its data"},
	{"BUSY ", "wait until the script there ends, or end it (SCRIPT KILL, FUNCTION KILL)"},
	{"NOPERM ", "give Tandem's user the right to run that command"},
	{instance.ErrCommandRefused.Error(), "give Tandem's user the right to run that command"},
}

// reconnecting says what to do about an instance that is not connected, for a reason; otherwise is for a reason that
// says no more than that.
func reconnecting(i *instance.Instance, why, otherwise string) string {
	for _, r := range remedies {
		if strings.Contains(why, r.words) {
			if strings.Contains(r.remedy, "%") {
				return fmt.Sprintf(r.remedy, i.Role)
			}
			return r.remedy
		}
	}
	return otherwise
}

// accepting says what to do about a secondary that answers this to every effect or copy.
func accepting(refusal string) string {
	code, _, _ := strings.Cut(strings.TrimPrefix(refusal, "-"), " ")
	switch code {
	case "OOM":
		return "raise its maxmemory; what was missed is copied then"
	case "READONLY", "MASTERDOWN":
		return "make it a primary (REPLICAOF NO ONE), or have its name lead to the primary; what was missed is copied then"
	case "MISCONF":
		return "see its log why it cannot save (is its disk full?); what was missed is copied then"
	case "LOADING":
		return "wait until it has loaded its data; what was missed is copied then"
	case "BUSY":
		return "wait until the script there ends, or end it (SCRIPT KILL, FUNCTION KILL); what was missed is copied then"
	case "NOPERM":
		return "give Tandem's user the right to run that command; what was missed is copied then"
	}
	return "mend what the message says; what was missed is copied then"
}

// refusalIn is the server's own words in an error, empty if it is another kind.
func refusalIn(err error) string {
	var reply *instance.ReplyError
	if errors.As(err, &reply) {
		return reply.Text
	}
	return ""
}
