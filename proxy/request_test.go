package proxy

import (
	"testing"

	"tandem/internal/ledger"
	"tandem/internal/resp"
)

// Whatever slice a key's name is of the command that was read, on the lane it is the same name, in memory that
// the session does not write to any more.
func TestNamesMoveWithTheirCommand(t *testing.T) {
	buf := append(make([]byte, 0, 256), "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1\r\nv\r\n"...)
	args := resp.Args(buf, nil) // of no more capacity than length
	open := buf[17:20]          // "key", of the array's whole capacity
	for _, name := range [][]byte{args[1], open, []byte("key")} {
		var r request
		r.reset()
		r.write.Keys = append(r.write.Keys, ledger.Key{Name: name})
		r.raw = append([]byte(nil), buf...)
		r.rebase(buf)
		got := r.write.Keys[0].Name
		clear(buf)
		if string(got) != "key" {
			t.Errorf("%q", got)
		}
		copy(buf, r.raw)
	}
}
