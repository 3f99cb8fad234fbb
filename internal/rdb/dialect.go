package rdb

// Dialect is what one server reads. It does not change once it is made.
type Dialect struct {
	// versions that it accepts, of those that it was asked for, rising.
	versions []uint16
	// types that it knows, by their numbers here.
	types [maxTypes]bool
}

// asked are the versions that a server is asked for: those of Redis 6.0 to 8.0 and of Valkey, and some to come.
var asked = []uint16{9, 10, 11, 12, 13, 14, foreign, foreign + 1, foreign + 2}

// samples are the smallest values of the types that a server is asked for, as servers have dumped them. Fields that
// expire do so in the year 2100.
var samples = []struct {
	kind  byte
	value string
}{
	{typeString, "\x01a"},
	{typeList, "\x01\x01a"},
	{typeSet, "\x01\x01a"},
	{typeHash, "\x01\x01a\x01b"},
	{typeZSet2, "\x01\x01a\x00\x00\x00\x00\x00\x00\xf0\x3f"},
	{typeIntset, "\x0a\x02\x00\x00\x00\x01\x00\x00\x00\x01\x00"},
	{typeZSetZiplist, "\x10\x10\x00\x00\x00\x0d\x00\x00\x00\x02\x00\x00\x01\x61\x03\xf2\xff"},
	{typeHashZiplist, "\x11\x11\x00\x00\x00\x0d\x00\x00\x00\x02\x00\x00\x01\x61\x03\x01\x62\xff"},
	{typeQuicklist, "\x01\x0e\x0e\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x01\x61\xff"},
	{typeStreamListpacks, sampleStream + "\x01\x01\x01\x00"},
	{typeHashListpack, "\x0d\x0d\x00\x00\x00\x02\x00\x81\x61\x02\x81\x62\x02\xff"},
	{typeZSetListpack, "\x0c\x0c\x00\x00\x00\x02\x00\x81\x61\x02\x01\x01\xff"},
	{typeQuicklist2, "\x01\x02\x0a\x0a\x00\x00\x00\x01\x00\x81\x61\x02\xff"},
	{typeStreamListpacks2, sampleStream + "\x01\x01\x01\x01\x01\x00\x00\x01\x00"},
	{typeSetListpack, "\x0a\x0a\x00\x00\x00\x01\x00\x81\x61\x02\xff"},
	{typeStreamListpacks3, sampleStream + "\x01\x01\x01\x01\x01\x00\x00\x01\x00"},
	{typeHashExpiring, "\x01\x01a\x01b\x00\xd8\xc3\x2c\xbb\x03\x00\x00"},
	{typeHashMetadata, "\x00\xd8\xc3\x2c\xbb\x03\x00\x00\x01\x01\x01a\x01b"},
	{typeListpackExpiring, "\x00\xd8\xc3\x2c\xbb\x03\x00\x00\x17\x17\x00\x00\x00\x03\x00\x81\x61\x02\x81\x62\x02\xf4" +
		"\x00\xd8\xc3\x2c\xbb\x03\x00\x00\x09\xff"},
}

// sampleStream is a stream's one node: the entry 1-1 with a field a of value b.
const sampleStream = "\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x1d\x1d\x00\x00\x00\x0a\x00\x01\x01" +
	"\x00\x01\x01\x01\x81\x61\x02\x00\x01\x02\x01\x00\x01\x00\x01\x81\x62\x02\x04\x01\xff"

// Questions are payloads that tell what a server reads. Each is sent as RESTORE key 1 payload ABSTTL, of any key that
// does not exist: the value is read, and not kept, for it has expired long ago. +OK says that it can be read. All of them
// are answered at once, some with an error; no key comes into being.
func Questions() []string {
	out := make([]string, 0, len(asked)+len(samples))
	for _, v := range asked {
		out = append(out, string(seal([]byte{typeString, 1, 'a'}, v)))
	}
	for _, s := range samples {
		// No server that reads a type refuses the oldest version. Those whose numbers do not mean the same everywhere are
		// of a version that tells whose they are: another would read them as what they are not, and write that to its log.
		v := asked[0]
		switch {
		case s.kind == typeHashExpiring:
			v = foreign
		case s.kind > lastCommon:
			v = 12
		}
		out = append(out, string(seal(append([]byte{s.kind}, s.value...), v)))
	}
	return out
}

// NewDialect is what the answers to Questions say: ok tells of each whether it was +OK. It is nil if the server reads
// nothing that was asked for: then RESTORE is refused, and it is not known what it would read.
func NewDialect(ok []bool) *Dialect {
	d := &Dialect{}
	for i, v := range asked {
		if i < len(ok) && ok[i] {
			d.versions = append(d.versions, v)
		}
	}
	for i, s := range samples {
		if at := len(asked) + i; at < len(ok) && ok[at] {
			d.types[s.kind] = true
		}
	}
	if len(d.versions) == 0 {
		return nil
	}
	return d
}

// ExpiringFields reports whether the server has an expiry of hash fields.
func (d *Dialect) ExpiringFields() bool {
	return d.types[typeHashExpiring] || d.types[typeHashMetadata]
}

// stamp is the version for payloads that are written anew.
func (d *Dialect) stamp() uint16 { return d.versions[0] }

// StreamCounters reports whether the server keeps counters of a stream and its groups, as since Redis 7.0.
func (d *Dialect) StreamCounters() bool { return d.types[typeStreamListpacks2] }

// FieldsExpire reports whether a payload is a hash of which some fields expire.
func FieldsExpire(p []byte) bool {
	if version(p) == 0 {
		return false
	}
	kind, known := kindOf(p)
	return known && kind > lastCommon
}

// kindOf is a payload's type by its number here; ok is false for those that are not known here.
func kindOf(p []byte) (kind byte, ok bool) {
	kind = p[0]
	switch valkey := version(p) >= foreign; {
	case kind <= lastCommon:
		return kind, kind != typeModule
	case kind == typeHashExpiring:
		return kind, valkey
	case kind == typeHashMetadata || kind == typeListpackExpiring:
		return kind, !valkey
	}
	return kind, false
}
