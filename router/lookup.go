package router

// The table is found by an open-addressing hash of the upper-case name. It is built once, when the package
// is loaded, and only read afterwards.

const (
	slotCount = 2048 // a power of two, four times the number of names: most probes hit at once
	slotMask  = slotCount - 1
)

var slots [slotCount]*Command

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

// Lookup finds the command of a request by its name, and that of a subcommand by the first two words. It
// returns nil for a command that it does not know, and for a container whose subcommand it does not know
// the container itself, which is refused. It does not allocate.
func Lookup(args [][]byte) *Command {
	if len(args) == 0 {
		return nil
	}
	name := args[0]
	for i := hashName(name); ; i++ {
		c := slots[i&slotMask]
		if c == nil {
			return nil
		}
		if !equalFold(name, c.Name) {
			continue
		}
		if len(c.subs) == 0 || len(args) == 1 {
			return c
		}
		return c.sub(args[1])
	}
}

// sub finds a container's subcommand.
func (c *Command) sub(word []byte) *Command {
	at := len(c.Name) + 1
	for _, s := range c.subs {
		if equalFold(word, s.Name[at:]) {
			return s
		}
	}
	return c.unknown
}

// hashName hashes a name regardless of its case.
func hashName(name []byte) uint32 {
	h := uint32(len(name))
	for _, b := range name {
		h = (h ^ uint32(b&0xdf)) * 0x01000193
	}
	return h ^ h>>15
}

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
