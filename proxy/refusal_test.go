package proxy

import (
	"testing"
	"time"

	"tandem/internal/redisd"
)

// A server that does not know EXEC does not end the transaction: whatever the lane sent behind it would be queued, and never
// executed.
func TestATransactionThatASecondaryLeavesOpenEndsItsConnection(t *testing.T) {
	h := newHouseOn(t, redisd.Options{}, redisd.Options{Args: []string{"--rename-command", "EXEC", ""}}, true, nil)
	c, target := h.client(), h.direct(h.target)
	c.expect("SET a b", "+OK")
	h.settled()
	c.send("MULTI\r\nSET x 1\r\nINCR y\r\nEXEC\r\n")
	for range 4 {
		c.reply()
	}
	h.settled()
	for limit := time.Now().Add(10 * time.Second); target.do("GET a") != "$1 c"; c.expect("SET a c", "+OK") {
		if time.Now().After(limit) {
			t.Fatal("what is sent behind the transaction is not executed")
		}
	}
}

func TestWhichErrorsAreAboutTheWholeServer(t *testing.T) {
	for _, test := range []struct {
		text                string
		copied              bool
		all, copies, byKeys bool
	}{
		{"-OOM command not allowed when used memory > 'maxmemory'.", false, true, true, false},
		{"-READONLY You can't write against a read only replica.", true, true, false, false},
		{"-MISCONF Redis is configured to save RDB snapshots", false, true, false, false},
		{"-BUSY Redis is busy running a script.", true, true, false, false},
		{"-BUSYKEY Target key name already exists.", true, false, false, false},
		{"-NOPERM this user has no permissions to run the 'restore' command or its subcommand", true, true, true, false},
		{"-NOPERM User default has no permissions to run the 'restore' command", true, true, true, false},
		{"-NOPERM User default has no permissions to run the 'lpush' command", false, false, true, false},
		{"-NOPERM No permissions to access a key", true, false, true, false},
		{"-ERR DUMP payload version or checksum are wrong", true, true, true, true},
		{"-WRONGTYPE Operation against a key holding the wrong kind of value", false, false, false, false},
		{"+QUEUED", false, false, false, false},
		{"", false, false, false, false},
	} {
		all, copies, byKey := refusesAll(test.text, test.copied)
		if all != test.all || all && (copies != test.copies || byKey != test.byKeys) {
			t.Errorf("%q, copied %v: %v %v %v", test.text, test.copied, all, copies, byKey)
		}
	}
}
