package status

import (
	"encoding/json"
	"unicode/utf8"
)

// Duplicate is one key that the target held before the migration, and what was decided about it.
type Duplicate struct {
	// Key is the key's bytes, in JSON as in Difference.
	Key []byte
	DB  int
	// Policy is that of the key: error, overwrite, skip or newest.
	Policy string
	// Decision is what becomes of it: kept, overwritten, removed or refused; Why says it for a person.
	Decision string
	Why      string
}

// MarshalJSON writes {key, db, policy, decision, why}.
func (d Duplicate) MarshalJSON() ([]byte, error) {
	j := struct {
		Key       string `json:"key"`
		KeyBase64 []byte `json:"key_base64,omitempty"`
		DB        int    `json:"db"`
		Policy    string `json:"policy"`
		Decision  string `json:"decision"`
		Why       string `json:"why"`
	}{string(d.Key), nil, d.DB, d.Policy, d.Decision, d.Why}
	if !utf8.Valid(d.Key) {
		j.Key, j.KeyBase64 = escape(d.Key), d.Key
	}
	return json.Marshal(j)
}
