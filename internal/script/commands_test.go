package script_test

import (
	"strconv"
	"strings"
	"testing"

	"tandem/internal/script"
	"tandem/router"
)

// TestTheCommandsAgreeWithTheCommandTable: what scripts are thought to write, and where, is what the router's
// table says of the same commands.
func TestTheCommandsAgreeWithTheCommandTable(t *testing.T) {
	for name, c := range script.Commands() {
		args := [][]byte{[]byte(name)}
		keys := map[int]bool{}
		for _, letter := range c.Args {
			switch letter {
			case 'k':
				keys[len(args)] = true
				args = append(args, []byte("k"))
			case 'N':
				args = append(args, []byte("2"))
				for range 2 {
					keys[len(args)] = true
					args = append(args, []byte("k"))
				}
			case 'O':
			default:
				args = append(args, []byte(strconv.Itoa(len(args))))
			}
		}
		if name == "LMPOP" {
			args[len(args)-2], args[len(args)-1] = []byte("COUNT"), []byte("2")
			args = append(args[:4:4], []byte("LEFT"), args[len(args)-2], args[len(args)-1])
		}
		cmd := router.Lookup(args)
		if cmd == nil {
			t.Errorf("%s is not in the command table", name)
			continue
		}
		if writes := cmd.IsWrite(args); writes != c.Write {
			t.Errorf("%s: writes is %v, the command table says %v", strings.Join(words(args), " "), c.Write, writes)
		}
		places, ok := cmd.AppendKeys(nil, args)
		if !ok {
			t.Errorf("%s: no form of the command", strings.Join(words(args), " "))
		}
		for _, k := range places {
			if !keys[k.Arg] {
				t.Errorf("%s: argument %d is a key", strings.Join(words(args), " "), k.Arg)
			}
			delete(keys, k.Arg)
		}
		for k := range keys {
			t.Errorf("%s: argument %d is no key", strings.Join(words(args), " "), k)
		}
	}
}

func words(args [][]byte) (w []string) {
	for _, a := range args {
		w = append(w, string(a))
	}
	return w
}
