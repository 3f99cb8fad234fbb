package instance

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// temporaryPrefix begins the name of every key that holds a value which is not whole yet.
const temporaryPrefix = "tandem:copy:"

// TemporaryKeys names keys for values that are written piece by piece, before each is renamed to what it is:
// tandem:copy:<maker>:<number>:{<tag>}. No name is used twice, by no process, so that what an old connection still has in
// the server's buffers meets nothing. It is safe for concurrent use.
type TemporaryKeys struct {
	maker string
	n     atomic.Uint64
}

// NewTemporaryKeys returns a maker of names that no other has.
func NewTemporaryKeys() *TemporaryKeys {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return &TemporaryKeys{maker: hex.EncodeToString(id[:])}
}

// Next returns a name for the value of key. It is in the same slot of a cluster, where RENAME goes no further.
func (t *TemporaryKeys) Next(key []byte) string {
	return temporaryPrefix + t.maker + ":" + strconv.FormatUint(t.n.Add(1), 10) + ":{" + strconv.FormatUint(uint64(tags()[slot(key)]), 10) + "}"
}

// Own reports whether a name is one of these.
func (t *TemporaryKeys) Own(name string) bool {
	rest, ok := strings.CutPrefix(name, temporaryPrefix)
	return ok && strings.HasPrefix(rest, t.maker) && IsTemporaryKey(name)
}

// IsTemporaryKey reports whether a name is one that TemporaryKeys makes: no user's key, and nothing to keep equal.
func IsTemporaryKey(name string) bool {
	rest, ok := strings.CutPrefix(name, temporaryPrefix)
	if !ok {
		return false
	}
	parts := strings.Split(rest, ":")
	if len(parts) != 3 || len(parts[0]) != 16 || !strings.HasPrefix(parts[2], "{") || !strings.HasSuffix(parts[2], "}") {
		return false
	}
	_, err1 := strconv.ParseUint(parts[0], 16, 64)
	_, err2 := strconv.ParseUint(parts[1], 10, 64)
	_, err3 := strconv.ParseUint(strings.Trim(parts[2], "{}"), 10, 64)
	return err1 == nil && err2 == nil && err3 == nil
}

// slots is how many a cluster has.
const slots = 16384

// slot is the one that a key belongs to: by what stands between the first { and the next }, if anything does.
func slot(key []byte) uint16 {
	if _, behind, ok := bytes.Cut(key, []byte("{")); ok {
		if tag, _, ok := bytes.Cut(behind, []byte("}")); ok && len(tag) > 0 {
			key = tag
		}
	}
	return crc16(key) % slots
}

// tags has the smallest number that is in each slot. Finding them takes some milliseconds, once.
var tags = sync.OnceValue(func() *[slots]uint32 {
	found, left := new([slots]uint32), slots
	var digits [20]byte
	for n := uint32(1); left > 0; n++ {
		at := &found[crc16(strconv.AppendUint(digits[:0], uint64(n), 10))%slots]
		if *at == 0 {
			*at = n
			left--
		}
	}
	return found
})

// crc16 is the one of XMODEM, which slots are made of.
func crc16(p []byte) (sum uint16) {
	for _, b := range p {
		sum ^= uint16(b) << 8
		for range 8 {
			if sum&0x8000 != 0 {
				sum = sum<<1 ^ 0x1021
			} else {
				sum <<= 1
			}
		}
	}
	return sum
}
