package router

import "encoding/binary"

// The table is found by an open-addressing hash of the name. It is built once, when the package is loaded,
// and only read afterwards.

const (
	slotBits = 11 // four times as many slots as names: most probes hit at once
	slotMask = 1<<slotBits - 1
)

var slots [slotMask + 1]slot

// slot is one entry of the hash table.
type slot struct {
	key   nameKey
	exact bool // equal keys mean equal names
	cmd   *Command
}

// nameKey is the beginning and the end of a name, 8 bytes each, and its length. Bit 5 of each byte is
// cleared, which is what the cases of a letter differ in. So of names of up to 16 letters, and nothing else,
// equal keys mean equal names regardless of case: no other byte becomes a letter.
type nameKey struct {
	head, tail uint64
	length     int
}

const caseMask = 0xdfdfdfdfdfdfdfdf

// keyOf makes the key of a name, which is not empty.
func keyOf(name []byte) (k nameKey) {
	n := len(name)
	k.length = n
	switch {
	case n >= 8:
		k.head = binary.LittleEndian.Uint64(name) & caseMask
		k.tail = binary.LittleEndian.Uint64(name[n-8:]) & caseMask
	case n >= 4:
		k.head = uint64(binary.LittleEndian.Uint32(name)) & caseMask
		k.tail = uint64(binary.LittleEndian.Uint32(name[n-4:])) & caseMask
	default:
		k.head = (uint64(name[0]) | uint64(name[n/2])<<8 | uint64(name[n-1])<<16) & caseMask
	}
	return k
}

// slot is where the search for the key begins.
func (k nameKey) slot() uint64 {
	h := (k.head ^ k.tail*0x9e3779b97f4a7c15 ^ uint64(k.length)) * 0xff51afd7ed558ccd
	return h >> (64 - slotBits)
}

// isExact reports whether a key says all of a name.
func isExact(name string) bool {
	for _, b := range []byte(name) {
		if b < 'A' || b > 'Z' {
			return false
		}
	}
	return len(name) <= 16
}

// Lookup finds the command of a request by its name, and that of a subcommand by the first two words. It
// returns nil for a command or a subcommand that it does not know: the server may (Learn). It does not
// allocate.
func Lookup(args [][]byte) *Command {
	if len(args) == 0 || len(args[0]) == 0 {
		return nil
	}
	name := args[0]
	key := keyOf(name)
	for i := key.slot(); ; i++ {
		s := &slots[i&slotMask]
		if s.cmd == nil {
			return nil
		}
		if s.key != key || !s.exact && !equalFold(name, s.cmd.Name) {
			continue
		}
		if len(s.cmd.subs) == 0 || len(args) == 1 {
			return s.cmd
		}
		return s.cmd.sub(args[1])
	}
}

// insert puts a command into the hash table.
func insert(c *Command) {
	key := keyOf([]byte(c.Name))
	i := key.slot()
	for slots[i&slotMask].cmd != nil {
		i++
	}
	slots[i&slotMask] = slot{key: key, exact: isExact(c.Name), cmd: c}
}

// sub finds a container's subcommand; if it has none of that name, what stands for it, nil in the table.
func (c *Command) sub(word []byte) *Command {
	at := len(c.Name) + 1
	for _, s := range c.subs {
		if equalFold(word, s.Name[at:]) {
			return s
		}
	}
	return c.unknown
}

// upper folds a byte to upper case.
var upper = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if 'a' <= i && i <= 'z' {
			t[i] = byte(i) - 32
		}
	}
	return t
}()

// equalFold reports whether text, in any case, is the word, which is in upper case.
func equalFold(text []byte, word string) bool {
	if len(text) != len(word) {
		return false
	}
	for i, b := range text {
		if upper[b] != word[i] {
			return false
		}
	}
	return true
}
