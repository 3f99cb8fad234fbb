package resp

import (
	"testing"
)

func TestStrictFramerRefuses(t *testing.T) {
	strict := Strict{Bulk: 100, Elements: 20}
	for reply, taken := range map[string]bool{
		"$100\r\n": true, "$101\r\n": false, "=101\r\n": false, "!101\r\n": false, "$-1\r\n": true,
		"*20\r\n": true, "*21\r\n": false, "*10\r\n*11\r\n": false, "*2\r\n*10\r\n:1\r\n": true, "*-1\r\n": true,
		"%10\r\n": true, "%11\r\n": false, "|11\r\n": false, "~21\r\n": false, "%-1\r\n": false, "~-1\r\n": true,
		"$?\r\n": false, "*?\r\n": false, "%?\r\n": false, "~?\r\n": false,
		">1\r\n": false, "*1\r\n>1\r\n": false, ".": false, ".\r\n": false,
		"_\r\n": true, "_x": true, "_xx": false, "_x\r\n": false, "#t\r\n": true, "#tx\r": false, "#true\r\n": false,
		"+anything\r\n": true, ":1\r\n": true,
	} {
		f := NewStrictFramer(strict)
		_, _, err := f.Feed([]byte(reply))
		if (err == nil) != taken {
			t.Errorf("%q: %v", reply, err)
		}
		// The verdict is the same when it comes byte by byte.
		f.Reset()
		err = nil
		for i := range reply {
			if _, _, err = f.Feed([]byte(reply[i : i+1])); err != nil {
				break
			}
		}
		if (err == nil) != taken {
			t.Errorf("%q, byte by byte: %v", reply, err)
		}
	}
}
