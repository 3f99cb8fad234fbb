package rdb

import (
	"bytes"
	"errors"
	"hash/crc64"
	"testing"
)

// old reads what every server does, and no more.
func old() *Dialect {
	d := &Dialect{versions: []uint16{9}}
	for _, t := range []int{typeString, typeList, typeSet, typeHash, typeZSet2, typeIntset, typeStreamListpacks} {
		d.types[t] = true
	}
	return d
}

// A version that is changed without reading the payload has the checksum of one that was.
func TestRestampKeepsTheChecksumRight(t *testing.T) {
	value := append([]byte{typeString, 0x42, 0x10}, bytes.Repeat([]byte("x"), 0x210)...)
	p := seal(bytes.Clone(value), 12)
	restamp(p, 9)
	if !bytes.Equal(p, seal(bytes.Clone(value), 9)) {
		t.Error("the checksum is wrong")
	}
	p[10] ^= 1
	restamp(p, 11)
	if bytes.Equal(p, seal(bytes.Clone(p[:len(p)-footerSize]), 11)) {
		t.Error("a damaged payload has become a sound one")
	}
}

// Fields that have expired, and that only nobody has looked for yet, do not become fields without an expiry.
func TestExpiredFieldsAreLeftOut(t *testing.T) {
	value := "\x02" + "\x01a\x01b\x10\x27\x00\x00\x00\x00\x00\x00" + "\x01c\x01d\x20\x4e\x00\x00\x00\x00\x00\x00" // at 10000 and 20000
	for _, c := range []struct {
		now  int64
		want string
		lost int
		next int64
	}{
		{now: 9_999, want: "\x04\x81\x00\x00\x00\x00\x00\x00\x00\x02\x01a\x01b\x01c\x01d", lost: 2, next: 10_000},
		{now: 10_000, want: "\x04\x81\x00\x00\x00\x00\x00\x00\x00\x01\x01c\x01d", lost: 1, next: 20_000},
		{now: 20_000},
	} {
		r, err := old().Rewrite(seal([]byte("\x16"+value), foreign), c.now, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		if c.want != "" {
			want = seal([]byte(c.want), 9)
		}
		if !bytes.Equal(r.Payload, want) || r.LostExpiry != c.lost || r.NextExpiry != c.next {
			t.Errorf("at %d: %q, %d fields lost their expiry, the next at %d", c.now, r.Payload, r.LostExpiry, r.NextExpiry)
		}
	}
}

// What is not known here goes as it is to whoever accepts its version, and is said to be unknown otherwise.
func TestUnknownTypes(t *testing.T) {
	for _, kind := range []byte{3, 10, 26, 31, 32, 200, typeHashExpiring} {
		p := seal([]byte{kind, 1, 2, 3}, 12)
		if _, err := old().Rewrite(bytes.Clone(p), 0, 100); !errors.Is(err, ErrUnknown) {
			t.Errorf("type %d: %v", kind, err)
		}
		newer := old()
		newer.versions = append(newer.versions, 12)
		if r, err := newer.Rewrite(bytes.Clone(p), 0, 100); kind > lastCommon && (err != nil || !bytes.Equal(r.Payload, p)) {
			t.Errorf("type %d, whose version is accepted: %v", kind, err)
		}
	}
	module := seal([]byte{typeModule, 1, 2, 3}, 12)
	if r, err := old().Rewrite(module, 0, 100); err != nil || version(r.Payload) != 9 {
		t.Errorf("a module's value: %v", err)
	}
}

// A payload comes from a server: whatever is in it, nothing panics, and no more memory is taken than allowed.
func FuzzRewrite(f *testing.F) {
	for _, s := range samples {
		f.Add(append([]byte{s.kind}, s.value...), uint16(12))
		f.Add(append([]byte{s.kind}, s.value...), uint16(foreign))
	}
	f.Add([]byte{typeHashListpack, 0xc3, 0x04, 0x40, 0x80, 0, 'a', 0xe0, 0x70, 0}, uint16(10)) // LZF
	f.Fuzz(func(t *testing.T, value []byte, v uint16) {
		const limit = 1 << 16
		for _, d := range []*Dialect{old(), {versions: []uint16{9}, types: [maxTypes]bool{typeHashMetadata: true, typeStreamListpacks2: true}},
			{versions: []uint16{9}, types: [maxTypes]bool{typeHashExpiring: true}}} {
			p := seal(bytes.Clone(value), v)
			size := len(p)
			r, err := d.Rewrite(p, 1000, limit)
			switch {
			case err != nil && !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrMalformed):
				t.Errorf("an error of another kind: %v", err)
			case err == nil && len(r.Payload) > max(limit+footerSize, size):
				t.Errorf("%d bytes", len(r.Payload))
			case err == nil && r.Payload != nil && !bytes.Equal(r.Payload, seal(bytes.Clone(r.Payload[:len(r.Payload)-footerSize]), version(r.Payload))):
				t.Error("a wrong checksum")
			}
		}
	})
}

// The checksum is the one that package crc64 makes of the same polynomial, of payloads of every length.
func TestChecksum(t *testing.T) {
	p := make([]byte, 100)
	for i := range p {
		p[i] = byte(i*i + 7)
	}
	for n := range p {
		if got, want := checksum(p[:n]), ^crc64.Update(^uint64(0), jones, p[:n]); got != want {
			t.Errorf("of %d bytes: %x, want %x", n, got, want)
		}
	}
	if got := checksum([]byte("123456789")); got != 0xe9c6d914c4b8d9ca {
		t.Errorf("the servers' own example comes to %x", got)
	}
}
