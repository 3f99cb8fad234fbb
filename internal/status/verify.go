package status

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"tandem/internal/demo/text"
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
	// Kept is how many keys were left out because the target keeps its own (duplicates).
	Kept int64 `json:"kept"`
	// Staying is how many were left out because they do not move (databases, keys).
	Staying int64 `json:"staying"`
	// Unheld is how many hashes, or pieces of large ones, have fields that expire on one server and never on the other, which
	// has no expiry of fields: no copy can mend that, and it is not a difference.
	Unheld int64 `json:"unheld"`
	// Different is the number of differences; Listed is how many of them were kept to be listed, fewer
	// only when there are so many that memory bounds the list.
	Different int64 `json:"different"`
	Listed    int64 `json:"listed"`
	// AtMostDifferent is the share of all keys that at most differs in what it holds, with 95 % confidence: what a sample
	// says of the whole. Null in other modes, and as long as nothing was compared.
	AtMostDifferent Optional[float64] `json:"at_most_different"`
	// File is where the differences are listed too, on Tandem's machine; empty while there are none.
	File string `json:"file"`
}

// Text says what was compared and found, as a sentence without its full stop.
func (s VerifySummary) Text() string {
	compared := text.Count(s.Compared) + " keys compared"
	if s.Mode == "keys" {
		compared += " by their names only, not their values or expiry"
	}
	sentence := fmt.Sprintf("%s, %s different", compared, text.Count(s.Different))
	if share, known := s.AtMostDifferent.Get(); known {
		sentence += fmt.Sprintf(": with 95 %% confidence less than %s of all keys differ in value, type or expiry", percent(share))
	}
	if s.Kept > 0 {
		sentence += fmt.Sprintf("; %s kept keys left out", text.Count(s.Kept))
	}
	if s.Staying > 0 {
		sentence += fmt.Sprintf("; %s keys that do not move left out", text.Count(s.Staying))
	}
	if s.Unheld > 0 {
		sentence += fmt.Sprintf("; %s hashes have fields that expire on one server and never on the other", text.Count(s.Unheld))
	}
	return sentence
}

// percent writes a share with two digits that matter, rounded up: it is a bound.
func percent(share float64) string {
	share *= 100
	if share <= 0 || share >= 99 {
		return "100 %"
	}
	unit := math.Pow(10, math.Floor(math.Log10(share))-1)
	return strconv.FormatFloat(math.Ceil(share/unit-1e-9)*unit, 'g', 2, 64) + " %"
}
