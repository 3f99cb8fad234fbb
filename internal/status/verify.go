package status

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Difference is one key whose state on the secondary is not that on the primary.
type Difference struct {
	// Key is the key's bytes. In JSON a key that is not UTF-8 is written with \xNN for the bytes that are
	// not, for the eye, and whole in the additional field key_base64.
	Key []byte
	DB  int
	// Kind is a stable name of what differs ("missing", "extra", "type", "value", "ttl", ...); Detail says
	// it for a person.
	Kind   string
	Detail string
}

// differenceJSON is a difference as a JSON line.
type differenceJSON struct {
	Key       string `json:"key"`
	KeyBase64 []byte `json:"key_base64,omitempty"`
	DB        int    `json:"db"`
	Kind      string `json:"kind"`
	Detail    string `json:"detail"`
}

// MarshalJSON writes {key, db, kind, detail}.
func (d Difference) MarshalJSON() ([]byte, error) {
	j := differenceJSON{Key: string(d.Key), DB: d.DB, Kind: d.Kind, Detail: d.Detail}
	if !utf8.Valid(d.Key) {
		j.Key, j.KeyBase64 = escape(d.Key), d.Key
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON writes; the key comes back byte for byte.
func (d *Difference) UnmarshalJSON(b []byte) error {
	var j differenceJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*d = Difference{Key: []byte(j.Key), DB: j.DB, Kind: j.Kind, Detail: j.Detail}
	if len(j.KeyBase64) > 0 {
		d.Key = j.KeyBase64
	}
	return nil
}

// escape writes the bytes that are not UTF-8 as \xNN.
func escape(key []byte) string {
	var out []byte
	for len(key) > 0 {
		r, n := utf8.DecodeRune(key)
		if r == utf8.RuneError && n == 1 {
			out = fmt.Appendf(out, `\x%02x`, key[0])
		} else {
			out = append(out, key[:n]...)
		}
		key = key[n:]
	}
	return string(out)
}

// VerifySummary is one verify as a whole.
type VerifySummary struct {
	ID string `json:"id"`
	// State is running, done or failed; Error says why it failed.
	State string `json:"state"`
	Error string `json:"error,omitempty"`
	// Mode is full, sample or keys.
	Mode   string `json:"mode"`
	Repair bool   `json:"repair"`
	// Percent is between 0 and 100, null before there is an estimate.
	Percent  Optional[float64] `json:"percent"`
	Compared int64             `json:"compared"`
	// Different is the number of differences; Listed is how many of them were kept to be listed, fewer
	// only when there are so many that memory bounds the list.
	Different int64 `json:"different"`
	Listed    int64 `json:"listed"`
}
